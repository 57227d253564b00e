"""Fills the board. Keys begin with 1, and say what belongs to what."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model

from benchmarks.board.layout import COMMENTS, LINKS, MEMBERSHIPS, SPARE, TAGS
from benchmarks.board.models import Comment, Notice, Project, Tag, Task

FAR = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
AT_ONCE = 2000


def fill(rows: int, users: int) -> None:
    """Make so many users, as many projects, and so many tasks, in an empty database.

    User u is a member of projects u, u + 1 and u + 2, and owns each task whose key is u, counted
    round; so do projects have tasks.
    """
    _put(User, (User(pk=n, username=f"user {n}", password="!") for n in _to(users)))
    _put(Project, (Project(pk=n, name=f"project {n}") for n in _to(users)))
    _put(Tag, (Tag(pk=n, name=f"tag {n}") for n in _to(max(SPARE))))
    member: Any = Project.members.through
    pairs = ((user, further) for user in range(users) for further in range(MEMBERSHIPS))
    _put(
        member,
        (member(user_id=u + 1, project_id=1 + (u + further) % users) for u, further in pairs),
    )
    _put(Task, (_task(n, users) for n in _to(rows)))
    link: Any = Task.tags.through
    links = ((task, further) for task in _to(rows) for further in range(LINKS))
    _put(link, (link(task_id=task, tag_id=1 + (task + further) % TAGS) for task, further in links))
    comments = ((task, which) for task in _to(rows) for which in range(COMMENTS))
    _put(Comment, (_comment(task, which) for task, which in comments))
    Notice.objects.create(pk=1, number=0)


def _to(last: int) -> range:
    return range(1, last + 1)


def _task(number: int, users: int) -> Task:
    whose = 1 + (number - 1) % users
    return Task(
        pk=number, title=f"task {number:06}", place=number, until=FAR,
        project_id=whose, owner_id=whose,
    )  # fmt: skip


def _comment(task: int, which: int) -> Comment:
    stars = 5 if which == 0 and task % 2 else 1
    return Comment(task_id=task, text=f"comment {which}", hours=which, stars=stars)


def _put(model: type[Model], rows: Iterable[Any]) -> None:
    model._base_manager.bulk_create(rows, batch_size=AT_ONCE)
