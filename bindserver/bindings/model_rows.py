"""Model instances as `Binding.all()` gives them: copies, made when they are first looked at.

The cache keeps one instance of each row. What a caller does to a copy does not reach it.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import hashlib
import uuid
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar, overload

from django.db.models import Model, QuerySet
from django.db.models.base import ModelState
from django.db.models.fields.files import FieldFile

M = TypeVar("M", bound=Model)

ATOMS = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        str,
        bytes,
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
    }
)
"""Types whose values nobody can change, so that copies may share them."""

Memo = dict[int, Any]


class ModelRows(Sequence[M], Generic[M]):
    """A binding's rows in one committed state, in order.

    Args:
        model: the rows' model.
        kept: the instances, which are copied before anyone gets them.
        version: equal for equal rows, in every process.
        last_modified: when this process last saw the rows change.
    """

    def __init__(
        self,
        model: type[M],
        kept: Sequence[M],
        *,
        version: str,
        last_modified: datetime.datetime,
    ) -> None:
        self.version = version
        self.last_modified = last_modified
        self._model = model
        self._kept = kept
        self._copies: dict[int, M] = {}

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> list[M]: ...
    def __getitem__(self, index: int | slice) -> M | list[M]:
        if isinstance(index, slice):
            return [self._copy(at) for at in range(*index.indices(len(self)))]
        return self._copy(range(len(self))[index])

    def __iter__(self) -> Iterator[M]:
        return map(self._copy, range(len(self)))

    def __contains__(self, item: object) -> bool:
        """Return whether a row with an instance's primary key, or this primary key, is there."""
        if isinstance(item, Model):
            same = item._meta.concrete_model is self._model._meta.concrete_model
            return same and item.pk in self._places
        return isinstance(item, Hashable) and item in self._places

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} {self._model._meta.label}>"

    def keys(self) -> list[Any]:
        """Return the primary keys in order."""
        return list(self._places)

    def get(self, pk: Any) -> M:
        """Return the row with a primary key.

        Raises:
            DoesNotExist: the model's own; there is no such row here.
        """
        at = self._places.get(self._model._meta.pk.to_python(pk))
        if at is None:
            model: Any = self._model
            raise model.DoesNotExist(
                f"no {self._model._meta.object_name} of this binding has the primary key {pk!r}"
            )
        return self._copy(at)

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {instance.pk: at for at, instance in enumerate(self._kept)}

    def _copy(self, at: int) -> M:
        if at not in self._copies:
            self._copies[at] = copy_of(self._kept[at])
        return self._copies[at]


def model_rows(
    model: type[Model], instances: Sequence[Any], digest: str, modified: float
) -> ModelRows[Any]:
    """Return a view's rows as Python is given them, as they were last changed at `modified`."""
    at = datetime.datetime.fromtimestamp(modified, datetime.UTC)
    return ModelRows(model, instances, version=digest, last_modified=at)


def digest_of(texts: Iterable[str]) -> str:
    """Return a digest of rows, of which each is one line."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def copy_of(instance: M, memo: Memo | None = None) -> M:
    """Return an independent copy of a model instance, with the related ones that it has loaded.

    Args:
        instance: what to copy.
        memo: the copies made so far, by the identity of what they are copies of: instances know
            each other in circles.
    """
    memo = {} if memo is None else memo
    if id(instance) in memo:
        known: M = memo[id(instance)]
        return known
    twin = instance.__class__.__new__(instance.__class__)
    memo[id(instance)] = twin
    for name, value in instance.__dict__.items():
        twin.__dict__[name] = value if type(value) in ATOMS else _copy_value(value, memo)
    return twin


def _copy_value(value: Any, memo: Memo) -> Any:
    if type(value) in ATOMS:
        return value
    if isinstance(value, Model):
        return copy_of(value, memo)
    if isinstance(value, ModelState):
        return _copy_state(value, memo)
    if isinstance(value, QuerySet):
        return _copy_queryset(value, memo)
    if isinstance(value, FieldFile):
        file = copy.copy(value)
        file.instance = copy_of(value.instance, memo)
        return file
    if type(value) is list:
        return [_copy_value(item, memo) for item in value]
    if type(value) is dict:
        return {key: _copy_value(item, memo) for key, item in value.items()}
    return copy.deepcopy(value, memo)


def _copy_state(state: ModelState, memo: Memo) -> ModelState:
    twin = ModelState()
    for name, value in vars(state).items():
        if name != "peers":  # the instances that were fetched together: the copy was not
            setattr(twin, name, _copy_value(value, memo) if name == "fields_cache" else value)
    return twin


def _copy_queryset(queryset: QuerySet[Any], memo: Memo) -> QuerySet[Any]:
    """Return a queryset that has the same rows loaded, as prefetching leaves them."""
    untyped: Any = queryset
    twin = untyped._chain()
    if queryset._result_cache is not None:
        twin._result_cache = [_copy_value(item, memo) for item in queryset._result_cache]
        twin._prefetch_done = True
    copied: QuerySet[Any] = twin
    return copied
