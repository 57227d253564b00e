"""A project with a user model of its own, and with models on another database."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """A user whose key is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    nickname = models.CharField(max_length=50, blank=True)


class Letter(models.Model):
    """Kept on the default database, with whom it belongs to."""

    to = models.ForeignKey(Person, on_delete=models.CASCADE)
    text = models.CharField(max_length=50)


class Record(models.Model):
    """Kept in the archive."""

    text = models.CharField(max_length=50)
