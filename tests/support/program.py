"""Another program, which writes to a database with plain SQL and knows nothing of Django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from tests.support import opened

TABLES = (
    *("auth_user_user_permissions", "auth_user_groups", "auth_group_permissions", "auth_group"),
    *(
        "authtoken_token",
        "app_booking",
        "app_product_tags",
        "app_product",
        "app_category",
        "app_tag",
    ),
    *("app_restaurant", "app_parcel", "app_tallshelf", "app_shelf", "app_note", "app_stretch"),
    *(
        "app_booking",
        "app_moment",
        "app_place",
        "app_token",
        "app_word",
        "app_membership",
        "auth_user",
    ),
    "django_session",
)
"""All that tests write to; those that others point to come after these."""


class Program:
    """What all such programs do alike; each kind of database has its own.

    Args:
        url: the database's address.
        connection: a connection of its driver's, in autocommit mode, which is the program's own.
    """

    BEGIN: ClassVar[str] = "BEGIN"
    """Begins a transaction that writes."""
    NAME: ClassVar[str] = "'product ' || i"
    """The name of the product whose key is `i`."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self._connection = connection
        self._closed = False
        opened.note(self)

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run a statement, with ? where arguments go, and return its rows."""
        raise NotImplementedError

    def numbers(self, first: int, last: int) -> str:
        """Return a table of the numbers from the first to the last, in a column `i`."""
        raise NotImplementedError

    def age(self, seconds: int) -> None:
        """Let the change log believe that so much time has passed."""
        raise NotImplementedError

    def add_products(self, count: int, first: int = 1, **values: Any) -> None:
        """Insert products named after their keys, in one statement."""
        row = {"price": 1, "stock": 0, "active": 1, "category_id": None, **values}
        self.run(
            "INSERT INTO app_product (id, name, price, stock, active, category_id) "
            f"SELECT i, {self.NAME}, ?, ?, ?, ? FROM {self.numbers(first, first + count - 1)}",
            *row.values(),
        )

    def clean(self) -> None:
        """Empty the models' tables, as an ordinary writer does."""
        with self.transaction():
            for table in TABLES:
                self.run(f"DELETE FROM {table}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done in the block, or roll it back if it raises."""
        self.run(self.BEGIN)
        try:
            yield
        except BaseException:
            self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def close(self) -> None:
        """Close its connection, if it is open; what is not committed is rolled back."""
        opened.forget(self)
        if not self._closed:
            self._closed = True
            self._connection.close()

    def log_in(
        self,
        name: str,
        expires: str = "2100-01-01 00:00:00",
        *,
        password: str = "!",
        is_staff: int = 0,
        is_active: int = 1,
    ) -> dict[str, str]:
        """Make a user and a session of theirs, and return the headers of a browser that has it."""
        from django.contrib.auth.models import User  # programs without Django come here too

        pk = 1 + len(self.run("SELECT 1 FROM auth_user"))
        user = User(username=name, password=password, pk=pk)
        row = (user.pk, name, user.password, "", "", "", "2026-01-01", 0, is_staff, is_active)
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
