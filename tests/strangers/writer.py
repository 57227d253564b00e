"""A process of the app's own, which writes through its code and renders what it should show.

It is told what to do by lines of JSON, and answers each by one: python -m tests.strangers.writer.
It knows nothing of the server; bindserver is only asked for `.all()`, in this process.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from typing import Any

import django

NAMES = ("ann", "bob")
"""The two users; the third is nobody."""


class Writer:
    """Does what it is told. The project's modules are there once Django is set up.

    Args:
        package: the project's package.
    """

    def __init__(self, package: str) -> None:
        self._actions = import_module(f"{package}.actions")
        self._plain = import_module(f"{package}.plain")
        self._views: list[Any] = []
        self._number = 0

    def prepare(self) -> dict[str, Any]:
        """Make the users, and the rows that are there before anybody looks."""
        from django.contrib.auth import get_user_model

        from tests.strangers.marks.models import Mark

        Mark._default_manager.create(pk=1, number=0)
        users = [
            get_user_model().objects.create_user(name, f"{name}@example.com", "secret")
            for name in NAMES
        ]
        self._actions.seed(*users)
        self._views = self._plain.views()
        return {
            "cookies": {user.get_username(): _log_in(user) for user in users},
            "least": self._actions.LEAST,
            "actions": self._actions.act.names(),
            "views": [(view.event, dict(view.params)) for view in self._views],
        }

    def act(self, name: str) -> dict[str, Any]:
        """Do something, then count the mark up, in a transaction of its own."""
        from tests.strangers.marks.models import Mark

        self._actions.act.do(name)
        self._number += 1
        Mark._default_manager.filter(pk=1).update(number=self._number)
        return {"mark": self._number}

    def truth(self) -> dict[str, Any]:
        """Render every view for every user, by DRF from the database and by DRF from `.all()`."""
        return {
            name or "": {
                view.name: {"drf": view.render(_user(name)), "python": _in_python(view, name)}
                for view in self._views
            }
            for name in (None, *NAMES)
        }


def _user(name: str | None) -> Any:
    """Return a user as a request would: read anew."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    if name is None:
        return AnonymousUser()
    return get_user_model().objects.get_by_natural_key(name)


def _in_python(view: Any, name: str | None) -> Any:
    from bindserver.bindings.registry import registry

    user = _user(name)
    if not view.allowed(user):
        return None
    return view.of(list(registry.get(view.event)(user=user, params=view.params).all()), user)


def _log_in(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def main() -> None:
    """Answer each line until there is none."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an app prints is no answer
    django.setup()
    writer = Writer(os.environ["DJANGO_SETTINGS_MODULE"].rpartition(".")[0])
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        try:
            answer: Any = getattr(writer, call)(*arguments)
        except Exception:  # it is for whoever asked to tell
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
