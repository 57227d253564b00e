"""What hangs on a user under private names stays when the row is read anew, and what the user
remembers of the database does not."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db.models.signals import post_init

from bindserver import Binding
from bindserver.cycle.attached import carry_over
from bindserver.exceptions import BindingError
from bindserver.testing import Live
from tests.app.models import Category, Product
from tests.support.registered import keep_out

pytestmark = pytest.mark.django_db


class Member(User):
    """A user with things of its own."""

    class Meta:
        app_label = "auth"
        proxy = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._original_email = self.email
        self._original = {"email": self.email}
        self._tracker = Tracker(self)
        self._region = None
        self._reach = "all"

    def roles(self) -> Any:
        if not hasattr(self, "_roles"):
            self._roles = [group.name for group in self.groups.all()]
        return self._roles

    def named(self) -> Any:
        return vars(self).setdefault("_named", self.email)

    @property
    def ranks(self) -> Any:
        try:
            return self._ranks
        except AttributeError:
            self._ranks: Any = self.roles()
            return self._ranks

    @cached_property
    def _powers(self) -> Any:
        return self.roles()

    @lru_cache  # noqa: B019  (what it keeps is not at issue)
    def teams(self) -> Any:
        if self.__dict__.get("_teams") is None:
            self.__dict__["_teams"] = self.roles()
        return self.__dict__["_teams"]

    def take(self, desk: Any) -> None:
        self._desk = desk

    @property
    def desk(self) -> Any:
        return self._desk if hasattr(self, "_desk") else None


class Tracker:
    def __init__(self, user: Any) -> None:
        self.user = user


def carried(**hung: Any) -> dict[str, Any]:
    """Return what is left of what hangs on a user after its row has been read anew."""
    known: Any = Member.objects.create(username="ann")
    vars(known).update(hung)
    fresh = Member.objects.get()
    untouched = set(vars(Member.objects.get()))
    carry_over(known, fresh)
    return {name: vars(fresh).get(name) for name in [*hung, *(vars(fresh).keys() - untouched)]}


@pytest.mark.parametrize("value", [["read"], ("a", 1), {"of": {"north"}}, 3, None, object()])
def test_what_authentication_hangs_on_a_user_stays(value: Any) -> None:
    assert carried(_scopes=value) == {"_scopes": value}


def test_so_does_what_a_method_of_the_user_s_has_set() -> None:
    assert carried(_desk=["north"]) == {"_desk": ["north"]}


@pytest.mark.parametrize("value", [{"_region": "north"}, {"_reach": "own"}])
def test_so_does_what_the_class_has_begun_with(value: Any) -> None:
    assert carried(**value) == value


def test_a_row_is_read_anew() -> None:
    tenant = Category.objects.create(name="old")
    Category.objects.update(name="new")
    assert carried(_tenant=tenant)["_tenant"].name == "new"


def test_a_queryset_reads_its_rows_again() -> None:
    Category.objects.create(name="old")
    tenants = Category.objects.all()
    assert [tenant.name for tenant in tenants] == ["old"]
    Category.objects.update(name="new")
    assert [tenant.name for tenant in carried(_tenants=tenants)["_tenants"]] == ["new"]


REMEMBERED = {
    "Django's": ["_perm_cache", "_user_perm_cache", "_group_perm_cache"],
    "prefetched rows": ["_prefetched_objects_cache"],
    "others'": ["_guardian_perms_cache"],
    "a password": ["_password"],
    "a method's": ["_roles", "_named"],
    "a property's": ["_ranks", "_powers"],
    "one that is wrapped": ["_teams"],
}


@pytest.mark.parametrize("whose", REMEMBERED)
def test_what_a_user_remembers_of_the_database_does_not(whose: str) -> None:
    for name in REMEMBERED[whose]:
        assert carried(**{name: {"all"}}) == {name: None}
        Member.objects.all().delete()


def test_what_a_user_is_made_with_is_the_fresh_row_s_own() -> None:
    known = Member.objects.create(username="ann", email="old")
    Member.objects.update(email="new")
    fresh = Member.objects.get()
    carry_over(known, fresh)
    assert (fresh._original_email, fresh._original) == ("new", {"email": "new"})
    assert fresh._tracker.user is fresh


def test_so_is_what_a_signal_puts_there() -> None:
    def track(instance: Any, **_: Any) -> None:
        instance._seen = (instance.email, Tracker(instance))

    post_init.connect(track, sender=Member)
    try:
        known = Member.objects.create(username="ann", email="old")
        vars(known)["_seen"] = ("old", Tracker(known))
        fresh: Any = Member.objects.get()
        carry_over(known, fresh)
        assert fresh._seen[1].user is fresh
    finally:
        post_init.disconnect(track, sender=Member)


@pytest.mark.parametrize("wrap", [list, tuple, lambda rows: {"of": rows[0]}, lambda rows: rows[0]])
def test_rows_that_may_be_of_either_kind_are_refused(wrap: Any) -> None:
    rows = [Category.objects.create(name="one")]
    if wrap(rows) is rows[0]:
        assert carried(_tenants=wrap(rows))["_tenants"] == rows[0]
        return
    with pytest.raises(BindingError, match=r"Member\._tenants holds rows.*Hang their keys"):
        carried(_tenants=wrap(rows))


class OfTenant(Binding[Product]):
    model = Product
    fields = ("id",)

    def get_queryset(self) -> Any:
        tenant = getattr(self.user, "_tenant", None)
        products = Product.objects.all()
        return products.filter(category=tenant) if tenant else products


def test_a_binding_never_sees_the_user_without_it(live: Live) -> None:
    north, south = (Category.objects.create(name=name) for name in ("north", "south"))
    own, _ = (Product.objects.create(name="x", category=each) for each in (north, south))
    user: Any = User.objects.create(username="ann")
    user._tenant = north
    seen = live.subscribe(type("Tenants", (OfTenant,), {"event": "tenants"}), user=user)
    assert [row["id"] for row in seen.rows] == [own.pk]
    User.objects.update(first_name="Ann")
    live.settle()
    Product.objects.create(name="y", category=south)
    live.settle()
    assert [row["id"] for row in seen.rows] == [own.pk]


class OfRoles(Binding[Product]):
    model = Product
    fields = ("id",)

    def get_queryset(self) -> Any:
        products = Product.objects.all()
        seen = self.user.has_perm("app.view_product") or "seer" in self.user.roles()
        return products if seen else products.none()


def test_a_right_that_a_user_remembers_is_looked_up_again(live: Live) -> None:
    Product.objects.create(name="x")
    user = Member.objects.create(username="ann")
    seers = Group.objects.create(name="seer")
    user.groups.add(seers)
    user.user_permissions.add(Permission.objects.get(codename="view_product"))
    assert user.has_perm("app.view_product")
    assert user.roles() == ["seer"]
    seen = live.subscribe(type("Roles", (OfRoles,), {"event": "roles"}), user=user)
    assert len(seen.rows) == 1
    user.user_permissions.clear()
    live.settle()
    assert len(seen.rows) == 1
    user.groups.clear()
    live.settle()
    assert seen.rows == []


keep_out(globals())
