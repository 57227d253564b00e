"""What authentication has hung on a user, such as scopes or a tenant, when the row is read anew.

Who may see what may depend on it, so it must not get lost in silence; nor may what a user
remembers of the database, such as permissions, outlive a change there.
"""

from __future__ import annotations

import dis
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.db.models import Model, QuerySet

from bindserver.bindings.functions import codes_in, functions_in
from bindserver.bindings.model_rows import copy_of
from bindserver.exceptions import BindingError
from bindserver.queries.carried import instances_in
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.values import stands_for_method, unwrapped

DJANGOS = frozenset({"_password", "_state"})
"""What Django keeps in a user's row beside its columns; its caches are called so."""

CONTAINERS = (list, tuple, set, frozenset)
"""What may hold rows on a user, beside dicts."""

CACHE = "cache"
"""What has this in its name under `_`, Django's, guardian's or others', remembers the database."""

STORES = frozenset({"__dict__", "__setattr__", "setattr", "setdefault", "vars"})
"""What a function needs to store under a name that is a text."""


def carry_over(known: Model, fresh: Model) -> None:
    """Give a user's row, read anew, what its authentication has hung on the old one, such as
    scopes or a tenant; but neither columns nor what the old one remembers of the database.

    Raises:
        DoesNotExist: the row of an instance among that is gone.
        BindingError: it cannot be told whether something is of the one kind or of the other.
    """
    known = unwrapped(known)
    hung = hung_on(known)
    usual = _usual(known) if hung else {}
    for name, value in hung.items():
        if _is_usual(name, value, usual):
            continue  # the row's own, which the fresh one has got too
        anew = _anew(value)
        if name.startswith("_") and not isinstance(value, Model | QuerySet) and instances_in(value):
            raise BindingError(
                f"{type(known).__name__}.{name} holds rows, and nobody knows whether they are "
                "what authentication says of the user or what has been read since. Hang their "
                "keys on the user, or one row under one name; what may be forgotten when the "
                'user is read anew needs "cache" in its name.'
            )
        if is_anew(anew):
            setattr(fresh, name, anew)


def hung_on(user: Model) -> dict[str, Any]:
    """Return what authentication has hung on a user: no columns, and nothing that it remembers of
    the database or computes."""
    user = unwrapped(user)
    kind = type(user)
    columns = {field.attname for field in user._meta.concrete_fields}
    return {
        name: value
        for name, value in vars(user).items()
        if name not in columns
        and not (name.startswith("_") and _remembers(kind, name))
        # A class may have a default. A method may be what is hung there in place of the class's.
        and (stands_for_method(kind, name) or not hasattr(getattr(kind, name, None), "__get__"))
    }


@lru_cache(maxsize=1024)
def _remembers(kind: type[Model], name: str) -> bool:
    """Return whether a private attribute is one in which a user keeps what it has looked up."""
    if name in DJANGOS or CACHE in name:
        return True
    return any(
        _looks_and_stores(code, name)
        for cls in kind.__mro__
        if cls is not Model
        for member in list(vars(cls).values())
        for function in functions_in(member)
        for code in codes_in(function.__code__)
    )


def _looks_and_stores(code: Any, name: str) -> bool:
    """Return whether a function keeps something under a name, and looks there first."""
    if name not in code.co_names and name not in code.co_consts:
        return False
    found = [op.opname for op in dis.get_instructions(code) if op.argval == name]
    by_text = "LOAD_CONST" in found
    stores = "STORE_ATTR" in found or (by_text and not STORES.isdisjoint(code.co_names))
    return stores and (len(found) > 1 or "setdefault" in code.co_names)


def _usual(known: Model) -> Mapping[str, Any]:
    """Return what a row has that was made of the same columns, and that nobody has touched."""
    own, meta = vars(known), known._meta
    names = [field.attname for field in meta.concrete_fields if field.attname in own]
    made = type(known).from_db(known._state.db, names, [own[name] for name in names])
    return vars(made)


def _is_usual(name: str, value: Any, usual: Mapping[str, Any]) -> bool:
    """Return whether a row comes with a value, as with a tracker of what has changed."""
    if name not in usual:
        return False
    encoder = IdentityEncoder()
    same = encoder.encode(value) == encoder.encode(usual[name])
    return same or (bool(encoder.unshared) and type(value) is type(usual[name]))


def _anew(value: Any) -> Any:
    """Return what hangs on a user with its rows as they are now."""
    if isinstance(value, Model):
        return _read_anew(value)
    if isinstance(value, QuerySet):
        return _unread(value)
    if type(value) in CONTAINERS:
        return type(value)([_anew(item) for item in value])
    return {name: _anew(item) for name, item in value.items()} if type(value) is dict else value


def is_anew(value: Any) -> bool:
    """Return whether all instances in a value are such that can be read anew."""
    inside = value.values() if type(value) is dict else value if type(value) in CONTAINERS else None
    if inside is not None:
        return all(map(is_anew, inside))
    return isinstance(value, Model | QuerySet) or not instances_in(value)


def _read_anew(instance: Model) -> Model:
    instance = unwrapped(instance)
    if instance.pk is None or instance._state.adding:
        return copy_of(instance)
    rows = QuerySet[Any](instance._meta.model, using=instance._state.db)  # managers may hide some
    found: Model = rows.get(pk=instance.pk)
    return found


def _unread(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return a queryset that reads its rows when it is asked, and what they are related to."""
    twin: Any = queryset.all()
    twin._known_related_objects = {}
    unread: QuerySet[Any] = twin
    return unread
