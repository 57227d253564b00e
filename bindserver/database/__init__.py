"""How each kind of database is read in one snapshot. The modules can stand for one another."""

from __future__ import annotations

from django.db import connections

from bindserver.database.base import Database, Usual
from bindserver.database.mysql import MySQL
from bindserver.database.postgresql import PostgreSQL
from bindserver.database.sqlite import SQLite

DATABASES: dict[str, Database] = {
    "mysql": MySQL(),
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
}
"""By Django's name of the vendor."""


def database_of(vendor: str) -> Database:
    """Return how a vendor's databases are read; one that is not known, as Django reads it."""
    return DATABASES.get(vendor, USUAL)


USUAL = Usual()


def is_served(alias: str) -> bool:
    """Return whether there is a database of this alias, of a kind that bindings can be on."""
    return alias in connections and connections[alias].vendor in DATABASES
