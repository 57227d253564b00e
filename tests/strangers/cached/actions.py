"""What happens in the smallest project, and what the cache does not hear of."""

from __future__ import annotations

from cachalot.api import cachalot_disabled
from django.contrib.auth.models import Group, User
from django.db import connection

from tests.strangers.small import actions
from tests.strangers.small.actions import seed

__all__ = ["LEAST", "act", "seed"]

LEAST = actions.LEAST + 2
act = actions.act


def _past_the_cache(sql: str) -> None:
    """Write as another program does, which empties no cache."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    cursor.execute(sql)
    cursor.close()


@act
def another_program_writes() -> None:
    list(User.objects.all())
    _past_the_cache("UPDATE auth_user SET first_name = 'Zoe' WHERE username = 'ann'")
    with cachalot_disabled():
        assert User.objects.get(username="ann").first_name == "Zoe"


@act
def another_program_writes_to_what_is_nested() -> None:
    list(Group.objects.prefetch_related("permissions"))
    _past_the_cache("UPDATE auth_permission SET codename = 'y_' || codename WHERE id < 4")
