"""Whether a subscriber may have a binding at all: by DRF's permission classes.

They are asked inside the cycle's snapshot, so that what they read is watched, as what the binding's
queryset reads is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, QueryDict
from rest_framework import exceptions
from rest_framework.permissions import AllowAny, BasePermission, OperandHolder, SingleOperandHolder
from rest_framework.request import Request
from rest_framework.settings import api_settings

from bindserver.bindings.binding import Binding
from bindserver.bindings.refusals import refusal_of
from bindserver.exceptions import (
    BindingError,
    BindserverError,
    Denied,
    Forbidden,
    InvalidParams,
    Overtaken,
    Unauthenticated,
)
from bindserver.user_code import contained

VIEW: Mapping[str, Any] = {"action": "list", "args": (), "detail": False, "kwargs": {}}
"""What a permission class may look for in a view, and finds in the binding while it is asked."""


ALWAYS = frozenset(
    {
        "HTTP_HOST",
        "PATH_INFO",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
    }
)
"""What a request over HTTP says of itself, whoever has sent it."""


class NoHeaders(dict[str, Any]):
    """The headers that nobody has sent: those that are optional are missing, and whoever asks for
    one that is always there, such as an address that may be barred, is told that it is not."""

    def __getitem__(self, name: str) -> Any:
        self._look(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._look(name)
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header, as a dict does."""
        self._look(name)
        return super().get(name, default)

    @staticmethod
    def _look(name: object) -> None:
        if name in ALWAYS:
            raise BindingError(
                f"A binding's permission classes have no {name}: one view serves many subscribers. "
                "Ask `request.user`, `request.auth` and `request.query_params`."
            )


class PermissionFailed(BindserverError):
    """A permission class raised something, so nobody knows whether to allow."""


def ask(binding: Binding[Any]) -> None:
    """Ask a binding's permission classes about its user.

    Raises:
        Denied: one of them refuses.
        InvalidParams: one of them says that the params are what is wrong.
        Overtaken: what they were told may be newer than the snapshot.
        PermissionFailed: one of them raised something else.
    """
    try:
        with contained():
            asked = [one for one in binding.get_permissions() if type(one) is not AllowAny]
        if not asked:
            return
        request = _request(binding)
        with _as_view(binding, request), contained():
            for permission in asked:
                if not permission.has_permission(request, binding):
                    raise _refusal(binding, getattr(permission, "message", None))
    except (exceptions.PermissionDenied, PermissionDenied) as problem:
        raise _refusal(binding, getattr(problem, "detail", str(problem))) from None
    except (Denied, Overtaken):
        raise
    except Exception as problem:
        if (refusal := refusal_of(problem, given=bool(binding.given_params))) is not None:
            raise refusal from None
        raise PermissionFailed(
            f"a permission class of {type(binding).__name__} failed"
        ) from problem


def bare(binding: type[Binding[Any]], user: Any, auth: Any) -> Binding[Any]:
    """Return a binding in a user's context, without params even where they must be given."""
    try:
        return binding(user=user, auth=auth)
    except InvalidParams:
        instance = binding.__new__(binding)
        instance.user, instance.auth = user, auth
        instance.given_params, instance.params, instance.wire_params = {}, {}, {}
        return instance


def _refusal(binding: Binding[Any], message: object) -> Denied:
    user = binding.user
    if getattr(user, "is_anonymous", False) and binding.auth is None:
        return Unauthenticated(str(message or exceptions.NotAuthenticated.default_detail))
    return Forbidden(str(message or exceptions.PermissionDenied.default_detail))


def _request(binding: Binding[Any]) -> Request:
    """Return a GET request of the binding's user, with its params and without headers."""
    plain = HttpRequest()
    plain.method = "GET"
    plain.META = NoHeaders()
    query: Any = QueryDict(mutable=True)
    for name, value in binding.wire_params.items():
        query.setlist(name, value if isinstance(value, list) else [str(value)])
    plain.GET = query
    request: Any = Request(plain)
    request.user = binding.user
    request.auth = binding.auth
    request._authenticator = None  # looking for one would forget the user
    asked: Request = request
    return asked


@contextmanager
def _as_view(binding: Binding[Any], request: Request) -> Iterator[None]:
    """Let a binding look like a view for a while."""
    attributes: Any = vars(binding)
    added = {"request": request, **VIEW}
    before = dict(attributes)
    attributes.update({name: value for name, value in added.items() if name not in before})
    try:
        yield
    finally:
        attributes.clear()
        attributes.update(before)


def are_drfs(binding: Binding[Any]) -> bool:
    """Return whether a binding's permission classes are DRF's own alone: they answer by the caller
    and by rows, and another answer is not to be had before one of these has changed."""
    kind = type(binding)
    if kind.get_permissions is not Binding.get_permissions:
        return False
    classes = kind.permission_classes
    if classes is None:
        classes = api_settings.DEFAULT_PERMISSION_CLASSES
    return all(map(_is_drfs, classes))


def _is_drfs(kind: Any) -> bool:
    parts = [vars(kind)[name] for name in ("op1_class", "op2_class") if name in vars(kind)]
    if isinstance(kind, (OperandHolder, SingleOperandHolder)):
        return all(map(_is_drfs, parts))
    return str(kind.__module__).startswith("rest_framework.")


def asks_about_objects(classes: Iterable[Any]) -> bool:
    """Return whether one of these permission classes wants to see the very object."""
    return any(_asks_about_objects(kind) for kind in classes)


def _asks_about_objects(kind: Any) -> bool:
    if isinstance(kind, OperandHolder):
        return asks_about_objects((kind.op1_class, kind.op2_class))
    if isinstance(kind, SingleOperandHolder):
        return asks_about_objects((kind.op1_class,))
    # Operators' instances have one of their own, which asks what they are made of.
    return getattr(kind, "has_object_permission", None) is not BasePermission.has_object_permission
