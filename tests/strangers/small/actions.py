"""What happens in the smallest project."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission, User
from django.db import connection

from tests.strangers.views import Actions

LEAST = 8
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Make two groups."""
    Group.objects.create(name="staff").user_set.add(ann)
    Group.objects.create(name="guests")


@act
def a_group_is_made() -> None:
    Group.objects.create(name="drivers").user_set.add(User.objects.get(username="bob"))


@act
def a_group_may_more() -> None:
    Group.objects.get(name="staff").permissions.set(Permission.objects.order_by("pk")[:3])


@act
def a_permission_is_renamed_by_raw_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE auth_permission SET codename = 'x_' || codename WHERE id = 2")


@act
def a_user_is_renamed() -> None:
    User.objects.filter(username="ann").update(first_name="Ann")


@act
def a_user_joins() -> None:
    User.objects.create_user("cem").groups.set(Group.objects.all())


@act
def groups_change_in_bulk() -> None:
    groups = list(Group.objects.all())
    for group in groups:
        group.name = group.name[::-1]
    Group.objects.bulk_update(groups, ["name"])


@act
def a_user_is_put_to_rest() -> None:
    User.objects.filter(username="cem").update(is_active=False)


@act
def a_group_goes() -> None:
    Group.objects.get(name="ffats").delete()
