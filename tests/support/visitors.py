"""Users with sessions, made by a program that knows nothing of Django's ORM."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore


class Visitors:
    """What any program that runs SQL can do for those who visit."""

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def log_in(self, name: str, expires: str = "2100-01-01 00:00:00") -> dict[str, str]:
        """Make a user and a session of theirs, and return the headers of a browser that has it."""
        from django.contrib.auth.models import User  # programs without Django come here too

        user = User(username=name, password="!", pk=1 + len(self.run("SELECT 1 FROM auth_user")))
        row = (user.pk, name, user.password, "", "", "", "2026-01-01", 0, 0, 1)
        self.run(
            "INSERT INTO auth_user (id, username, password, first_name, last_name, email, "
            "date_joined, is_superuser, is_staff, is_active) VALUES (?,?,?,?,?,?,?,?,?,?)",
            *row,
        )
        session = {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
        key = f"sessionof{name}".ljust(32, "0")
        data = SessionStore().encode(session)
        self.run("INSERT INTO django_session VALUES (?, ?, ?)", key, data, expires)
        return {"Cookie": f"sessionid={key}"}
