"""Values as plain data that is equal for equals alone.

What is encoded alike may be shared, so a text that two might have in common (a `repr`, a `str`, a
model's name) is never asked. Types whose values can be told are encoded by type and content;
anything else is encoded as itself, by a name that no other object and no other process has. So what
is not known is not shared.
"""

from __future__ import annotations

import datetime
import types
import zoneinfo
from collections.abc import Callable, Mapping
from enum import Enum, Flag
from typing import Any

from django.db.models import Field, ForeignObjectRel, Model
from django.db.models.fields.files import FieldFile
from django.utils.functional import LazyObject, empty

from bindserver.queries.code_paths import CODE, is_djangos, is_found, names, path_of
from bindserver.queries.plain_values import ATOMS, PARTS
from bindserver.queries.states import state_of

NEVER = frozenset({"_state", "_django_version"})
"""What of an instance is told by other means, or stays from pickling it."""

ANONYMOUS = "django.contrib.auth.models.AnonymousUser"
NOBODY: list[Any] = ["anonymous", []]
"""An anonymous user of whom nothing else is known."""

DEEPEST = 100
"""What lies deeper in a value is not looked at."""


class ValueEncoder:
    """Encodes values as plain data (lists, texts, integers, booleans and None).

    Two values are encoded alike only if they are equal in type and content, or are one object that
    says the same as before.

    Args:
        looks: whether what objects, functions and classes say now is told, too; in other processes
            they may say something else.

    Attributes:
        unshared: the values that could only be encoded as themselves, in words.
    """

    def __init__(self, *, looks: bool = True) -> None:
        self._looks = looks
        self.unshared: list[str] = []
        self._met: dict[int, tuple[int, Any]] = {}
        self._inside: set[int] = set()
        self._look: Look | None = None

    def encode(self, value: Any, what: str = "") -> Any:
        """Return a value as plain data.

        Args:
            value: anything.
            what: what it is to a person, for `unshared`.
        """
        kind = type(value)
        if self._look is not None and self._look.is_over():
            return [path_of(kind)]
        if kind in ATOMS:
            return [kind.__name__, ATOMS[kind](value)]
        if id(value) in self._inside or len(self._inside) >= DEEPEST:
            return self.itself(value, what)  # it is in itself, or there is no end to it
        self._inside.add(id(value))
        try:
            return self._compound(value, what)
        finally:
            self._inside.discard(id(value))

    def _compound(self, value: Any, what: str) -> Any:
        kind = type(value)
        for kinds, encode in COMPOUNDS:
            if issubclass(kind, kinds):
                return encode(self, value, what)
        if (parts := PARTS.get(path_of(kind))) is not None and is_found(kind):
            kept = sorted(getattr(value, "__dict__", {}).items())
            own = {name: item for name, item in kept if name not in parts}  # as a partial may have
            told = [self.encode(getattr(value, part), what) for part in parts]
            return [path_of(kind), told, self.items(own, what)]
        if path_of(kind) == ANONYMOUS:
            return ["anonymous", self.items(vars(value), what or "user")]
        return self.itself(value, what)

    def itself(self, value: Any, what: str = "") -> list[Any]:
        """Return what names an object and no other one, with what it says now, and note that it is
        not shared."""
        path = path_of(value if isinstance(value, CODE) else type(value))
        if self._look is None:
            self.unshared.append(f"{what or 'a value'} is {path}, which is known by itself alone")
            return ["itself", names.name(value), self._says(value, named=True)]
        name = names.lasting_name(value) if self._look.named else None
        return ["part", path, name, self._says(value, named=self._look.named)]

    def _says(self, value: Any, *, named: bool) -> list[Any]:
        """Return what a value says now that is told by other means.

        Args:
            value: an object, a class or a function.
            named: whether what it holds is told by name; a name means nothing in other processes.
        """
        outer = self._look
        if not self._looks or (outer is not None and outer.depth >= Look.DEEPEST):
            return []
        self._look = Look(named, outer)
        try:
            return self.items(state_of(value))
        finally:
            self._look = outer

    def code(self, value: Any, what: str = "") -> list[Any]:
        """Return what names a class or a function: its path, if that leads to it."""
        known = is_found(value) and names.is_first(path_of(value), value)
        return ["code", path_of(value)] if known else self.itself(value, what)

    def given_code(self, value: Any, what: str = "") -> list[Any]:
        """Return a class or a function that somebody is given, with what it says now."""
        told = self.code(value, what)
        return [*told, self._says(value, named=False)] if told[0] == "code" else told

    @property
    def is_looking(self) -> bool:
        """Whether what an object holds is being told: nobody has handed that over."""
        return self._look is not None

    def items(self, value: Mapping[Any, Any], what: str = "") -> list[Any]:
        """Return a mapping's items in its order."""
        return [
            [
                self.encode(key, what),
                self.encode(item, "" if type(item) in ATOMS else _part_of(what, key)),
            ]
            for key, item in value.items()
        ]

    def instance(self, value: Model, what: str = "") -> Any:
        """Return a model instance: its class, and all that is loaded of it."""
        if (known := self._met.get(id(value))) is not None:
            return ["met", known[0]]
        self._met[id(value)] = (len(self._met), value)  # kept, or another could get its `id`
        of, state = what or type(value).__name__, value._state
        loaded = {name: vars(value)[name] for name in sorted(vars(value)) if name not in NEVER}
        related = dict(sorted(state.fields_cache.items()))
        return [
            "instance",
            self.code(type(value), of),
            state.db,
            state.adding,
            self.items(loaded, of),
            self.items(related, of),
        ]

    def field(self, value: Any, what: str = "") -> Any:
        """Return a field: its place in a model, or, of none, its class and arguments."""
        model = getattr(value, "model", None)
        if model is not None and any(field is value for field in model._meta.get_fields()):
            return ["field", self.code(model, what), value.name]
        if not isinstance(value, Field):
            return self.itself(value, what)
        _, _, args, kwargs = value.deconstruct()
        own = self.items(_kept_by(value), what)
        return ["field", self.code(type(value), what), self.encode([args, kwargs], what), own]


class Look:
    """A look at what an object says: it ends somewhere, however much the object holds.

    Args:
        named: whether what is known by itself alone is told by name.
        outer: the look that this one is a part of.
    """

    DEEPEST = 2
    MOST_PARTS = 1000

    def __init__(self, named: bool, outer: Look | None = None) -> None:
        self.named = named
        self.depth: int = 1 if outer is None else outer.depth + 1
        self._parts: list[int] = [0] if outer is None else outer._parts

    def is_over(self) -> bool:
        """Count a part that is told, and return whether there have been too many."""
        self._parts[0] += 1
        return self._parts[0] > self.MOST_PARTS


def _kept_by(field: Field[Any, Any]) -> dict[str, Any]:
    """Return what a field keeps beside what migrations are told: code, and all that one of the
    project's own has been given, of which it may tell them less."""
    usual, own = vars(Field()), not is_djangos(type(field))
    return {
        name: value
        for name, value in sorted(vars(field).items())
        if stands_for_method(type(field), name)
        or (
            not hasattr(getattr(type(field), name, None), "__get__")
            and (own or isinstance(value, METHODS))
            and (name not in usual or _says_more(name, value))
        )
    }


def _says_more(name: str, value: Any) -> bool:
    """Return whether a field's usual attribute is plain data, and not just the field's number."""
    return type(value) in ATOMS and name != "creation_counter"


METHODS = (types.FunctionType, types.MethodType)


def stands_for_method(kind: type, name: str) -> bool:
    """Return whether an attribute of an instance stands in place of a method of its class."""
    return isinstance(getattr(kind, name, None), METHODS)


def _part_of(what: str, key: Any) -> str:
    """Return what an item of a mapping is to a person. A key that is no simple value is not asked
    for its text: that is code of the project's, which may read the database."""
    return f"{what}[{key!r}]" if type(key) in ATOMS else f"{what}[a {type(key).__name__}]"


def unwrapped(value: Any) -> Any:
    """Return what a lazy object stands for, or what is none as it is."""
    while issubclass(type(value), LazyObject):
        if value._wrapped is empty:
            value._setup()
        value = value._wrapped
    return value


def _encode_lazy(encoder: ValueEncoder, value: Any, what: str) -> Any:
    if encoder.is_looking and value._wrapped is empty:
        return ["unasked", path_of(type(value))]
    kind, told = type(value), encoder.encode(unwrapped(value), what)
    own = [name for cls in kind.__mro__ if not is_djangos(cls) for name in vars(cls)]
    if all(name == "_setup" or name.startswith("__") for name in own):
        return told
    return ["lazy", encoder.code(kind, what), told]  # its class says more than what it stands for


def _encode_sequence(encoder: ValueEncoder, value: Any, what: str) -> Any:
    if type(value) not in (list, tuple):
        return encoder.itself(value, what)
    return [type(value).__name__, [encoder.encode(item, what) for item in value]]


def _encode_set(encoder: ValueEncoder, value: Any, what: str) -> Any:
    if type(value) not in (set, frozenset):
        return encoder.itself(value, what)
    return [type(value).__name__, sorted([encoder.encode(item, what) for item in value], key=repr)]


def _encode_dict(encoder: ValueEncoder, value: Any, what: str) -> Any:
    return (
        ["dict", encoder.items(value, what)] if type(value) is dict else encoder.itself(value, what)
    )


def _encode_time(encoder: ValueEncoder, value: Any, what: str) -> Any:
    if type(value) not in (datetime.datetime, datetime.time):
        return encoder.itself(value, what)
    naive = value.replace(tzinfo=None).isoformat()
    return [type(value).__name__, naive, value.fold, encoder.encode(value.tzinfo, what)]


def _encode_zone(encoder: ValueEncoder, value: Any, what: str) -> Any:
    return ["zone", value.key] if _is_by_key(value) else encoder.itself(value, what)


def _is_by_key(zone: zoneinfo.ZoneInfo) -> bool:
    """Return whether a time zone is the one of its key; one read from a file may be called so
    too."""
    try:
        return zone.key is not None and zoneinfo.ZoneInfo(zone.key) is zone
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return False


def _encode_enum(encoder: ValueEncoder, value: Any, what: str) -> Any:
    # Flags beyond those that are declared have no name, or one name in common.
    number = encoder.encode(value.value, what) if isinstance(value, Flag) else None
    return ["enum", encoder.code(type(value), what), value.name, number]


def _encode_file(encoder: ValueEncoder, value: Any, what: str) -> Any:
    of = encoder.field(value.field, what)  # which says where the name leads to
    return ["file", encoder.code(type(value), what), value.name, of]


COMPOUNDS: tuple[tuple[Any, Callable[[ValueEncoder, Any, str], Any]], ...] = (
    (LazyObject, _encode_lazy),
    (Enum, _encode_enum),
    ((list, tuple), _encode_sequence),
    ((set, frozenset), _encode_set),
    (dict, _encode_dict),
    ((datetime.datetime, datetime.time), _encode_time),
    (zoneinfo.ZoneInfo, _encode_zone),
    (Model, ValueEncoder.instance),
    (CODE, ValueEncoder.given_code),
    ((Field, ForeignObjectRel), ValueEncoder.field),
    (FieldFile, _encode_file),
)
"""How values with others inside are encoded, subclasses' too, which are others' than known ones."""
