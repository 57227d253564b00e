"""The change log in migrations: an operation that installs it, and what puts triggers back that a
migration took away."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.apps import apps as installed_apps
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from bindserver.bindings.registry import registry
from bindserver.capture.log import LOGS, has_log, log_of, sift
from bindserver.capture.tables import tracked
from bindserver.exceptions import CaptureError
from bindserver.queries.tables import reads_of

logger = logging.getLogger("bindserver.operations")

LOCK_TRIES = 50
"""How often to ask for a table that is in use, after a `migrate`."""


class InstallCapture(Operation):
    """Have a database followed by the change log, in a migration.

    The operation makes the log itself; the triggers are put on the tables that bindings read when
    the whole `migrate` has ended, and so after every later one. Backwards it takes all away.

    A database that can have no log, or that the project's routers keep the app from, is passed
    over.
    """

    reduces_to_sql = True
    reversible = True
    atomic = False  # Django would open a transaction where changes of the schema forbid one

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing: there is no model."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Make the log, where there is none."""
        connection = schema_editor.connection
        if not router.allow_migrate(connection.alias, app_label) or not _can_have_log(connection):
            return
        log = log_of(connection)
        with _at_once(connection):
            statements = log.plan([])
            for statement in statements:
                schema_editor.execute(statement, params=None)
            if statements and not schema_editor.collect_sql:
                log.renew()

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Take the log and all triggers away."""
        connection = schema_editor.connection
        if not router.allow_migrate(connection.alias, app_label) or not has_log(connection):
            return
        with _at_once(connection):
            for statement in log_of(connection).plan_removal():
                schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        """Return what it does, for `migrate --plan`."""
        return "Install bindserver's change log"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part of a migration's name."""
        return "install_capture"


def _at_once(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    """Return a transaction, where the database can take changes of the schema back."""
    if connection.features.can_rollback_ddl:
        return transaction.atomic(using=connection.alias)
    return nullcontext()


def _can_have_log(connection: BaseDatabaseWrapper) -> bool:
    in_memory = getattr(connection, "is_in_memory_db", bool)
    return connection.vendor in LOGS and not in_memory()


def reinstall(using: str, verbosity: int = 1, **_: Any) -> None:
    """Put back what a migration took away, where the change log is installed: after each `migrate`.

    Args:
        using: the database's alias.
        verbosity: as `migrate` was told; what is done is printed from 2 on.
    """
    connection = connections[using]
    if using not in registry.aliases():
        return
    try:
        if not _can_have_log(connection) or not has_log(connection):
            return
        log = log_of(connection)
        log.tries = LOCK_TRIES
        present = set(connection.introspection.table_names())
        reads = reads_of(registry.all(), using)
        wanted = [t for t in tracked(reads, reads) if t.table in present]
        watched, others = sift(log, wanted)
        done = log.install(watched)
        for why in others.values():
            logger.warning("bindserver: the change log on %r is not whole: %s", using, why)
    except (CaptureError, DatabaseError) as problem:
        # The migration itself has succeeded, and a server puts right what it can.
        logger.warning("bindserver: the change log on %r is not in order: %s", using, problem)
        return
    if done and verbosity > 1:
        logger.info("bindserver: triggers were put back on %r", using)


def reinstall_after_migrations() -> None:
    """Have it done."""
    from django.db.models.signals import post_migrate

    post_migrate.connect(
        _on_migrated,
        sender=installed_apps.get_app_config("bindserver"),
        dispatch_uid="bindserver.operations",
    )


def _on_migrated(using: str, verbosity: int, **_: Any) -> None:
    reinstall(using, verbosity)
