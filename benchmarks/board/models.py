"""Tasks of projects with members, what hangs on tasks, and a notice that marks a change."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import User
from django.db import models


class Project(models.Model):
    """What users are members of."""

    name = models.CharField(max_length=50)
    members = models.ManyToManyField(User, related_name="projects")

    objects: ClassVar[models.Manager[Project]] = models.Manager()


class Tag(models.Model):
    """What a task shows over a link."""

    name = models.CharField(max_length=50)

    objects: ClassVar[models.Manager[Tag]] = models.Manager()


class Task(models.Model):
    """The table with the many rows."""

    title = models.CharField(max_length=50)
    place = models.IntegerField(db_index=True)
    until = models.DateTimeField()
    project = models.ForeignKey(Project, models.CASCADE)
    owner = models.ForeignKey(User, models.CASCADE)
    tags = models.ManyToManyField(Tag)

    objects: ClassVar[models.Manager[Task]] = models.Manager()


class Comment(models.Model):
    """A child, which tasks are reached from backwards."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="comments")
    text = models.CharField(max_length=50)
    hours = models.IntegerField(default=1)
    stars = models.IntegerField(default=1)

    objects: ClassVar[models.Manager[Comment]] = models.Manager()


class Notice(models.Model):
    """A table with one row, of which nothing else knows."""

    number = models.IntegerField()

    objects: ClassVar[models.Manager[Notice]] = models.Manager()
