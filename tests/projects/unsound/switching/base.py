"""SQLite, with what backends that switch schemas are known by."""

from __future__ import annotations

from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    schema_name = "public"
