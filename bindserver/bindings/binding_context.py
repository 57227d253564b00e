"""In which context an instance of a binding is: for whom, and without a request."""

from __future__ import annotations

import copy
import functools
from typing import Any

from django.db.models import Model
from django.utils.functional import cached_property

from bindserver.exceptions import BindingError

CONTEXT = frozenset({"_user", "auth", "given_params", "params", "wire_params"})
"""The attributes of an instance that say in which context it is, and of which kind it is not."""

CACHED = (functools.cached_property, cached_property)
"""Properties whose values an object keeps, under their own names."""


class RefusedRequest:
    """Fails loudly where a binding's code asks for a request: `getattr(self, "request", None)` must
    not take silence for an answer."""

    def __get__(self, binding: object | None, kind: type) -> Any:
        if binding is None:
            return self
        raise BindingError(
            f"{kind.__name__} has no request: one view serves many subscribers. Ask `self.user`, "
            "`self.auth` and `self.params`; or say `request = None` in the binding, if its rows "
            "are right without one."
        )


def copied_unasked(value: Any) -> Any:
    """Return a copy of a caller's row, which does not hear what the other comes to remember."""
    if not isinstance(value, Model):
        return value
    twin = copy.copy(value)
    if known := vars(twin).get("_prefetched_objects_cache"):
        vars(twin)["_prefetched_objects_cache"] = dict(known)
    return twin


def remembered(instance: object) -> set[str]:
    """Return the names of an object's cached properties that have been looked at."""
    kind = type(instance)
    return {name for name in vars(instance) if isinstance(getattr(kind, name, None), CACHED)}
