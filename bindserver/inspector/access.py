"""Who may see the inspector: active staff, or whoever INSPECTOR_ALLOW says; and where it is."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from bindserver.conf import conf
from bindserver.exceptions import Denied, Forbidden, Unauthenticated, UnknownEvent
from bindserver.queries.values import unwrapped

INDEX = "bindserver_inspector:index"
"""The name of the page's route."""


def address() -> str | None:
    """Return where the page is; None where the project's URLs do not include it."""
    try:
        return reverse(INDEX)
    except NoReverseMatch:
        return None


def may_inspect(user: Any) -> bool:
    """Return whether a user may see the inspector.

    Args:
        user: the user; None for nobody.
    """
    if user is None or not getattr(user, "is_active", False):
        return False
    if conf.INSPECTOR_ALLOW is None:
        return bool(getattr(user, "is_staff", False))
    return bool(import_string(conf.INSPECTOR_ALLOW)(user))


def admit(event: str, user: Any) -> Any:
    """See that a user may follow what the inspector tells; return them as the database has them
    now.

    Args:
        event: what was asked for.
        user: who asks.

    Raises:
        UnknownEvent: the inspector is off, which looks as if there were no such thing.
        Denied: the user may not.
    """
    if address() is None:
        raise UnknownEvent(event)
    now = read_again(user)
    if not may_inspect(now):
        raise _refusal(now)
    return now


def _refusal(user: Any) -> Denied:
    if user is None or getattr(user, "is_anonymous", False):
        return Unauthenticated("log in as a member of staff")
    return Forbidden("the inspector is for staff, or whoever INSPECTOR_ALLOW says")


def read_again(user: Any) -> Any:
    """Return a user as the database has them now: what an instance has found out of its permissions
    it does not ask again; None for one that is no more."""
    known = unwrapped(user)
    if not isinstance(known, Model) or known.pk is None:
        return known
    manager = type(known)._base_manager.using(known._state.db)
    return manager.filter(pk=known.pk).first()


def may_view(user: Any, model: type[Model]) -> bool:
    """Return whether a user may see rows of a model: by Django's permission `view`."""
    from django.contrib.auth import get_permission_codename

    meta, has_perm = model._meta, getattr(user, "has_perm", None)
    name = f"{meta.app_label}.{get_permission_codename('view', meta)}"
    return has_perm is not None and bool(has_perm(name))
