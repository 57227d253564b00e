"""`BoundModelViewSet`: a `ModelViewSet` whose lists and rows come from memory, with ETags."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Model, QuerySet
from django.http.response import HttpResponseBase
from rest_framework import exceptions, viewsets
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from bindserver.bindings.binding import (
    Binding,
    alias_of,
    model_of,
)
from bindserver.bindings.columns import has_dicts
from bindserver.bindings.params import from_query
from bindserver.bindings.permissions import asks_about_objects
from bindserver.bindings.registry import registry
from bindserver.bindings.row_keys import wire_key
from bindserver.cycle.commit_tokens import commit_token
from bindserver.cycle.inbox import Snapshot
from bindserver.engine.changes import Key
from bindserver.exceptions import InvalidParams, Unsound
from bindserver.http.cached import asks_code, held, is_exact, paginates_sequences
from bindserver.http.conditional import (
    COMMIT_HEADER,
    CURSOR_HEADER,
    TextResponse,
    make_conditional,
)
from bindserver.http.served_bindings import (
    binding_class,
    has_columns,
    queryset_for_routes,
    serializer_of,
)
from bindserver.queries.compiler import queryset_of, reads_alike
from bindserver.queries.serializer_traits import traits_of
from bindserver.user_code import contained


class BoundModelViewSet(viewsets.ModelViewSet[Any]):
    """A drop-in for `ModelViewSet`.

    List and retrieve are served from the binding's view, with ETag and Last-Modified, wherever
    DRF would read just the binding's own rows; everything else goes DRF's own way to the database,
    and has an ETag too.

    Attributes:
        binding: whose rows are served; its serializer too, where no serializer_class is named.
        model: in place of a binding, the model whose rows are served.
    """

    binding: ClassVar[type[Binding[Any]] | Binding[Any] | None] = None
    model: ClassVar[type[Model] | None] = None
    _names_queryset: ClassVar[bool] = False
    _base: QuerySet[Any] | None = None
    _bound: tuple[Any, Binding[Any]] | None = None
    _served: Snapshot | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "queryset" in vars(cls):
            cls._names_queryset = vars(cls)["queryset"] is not None
        if not cls._names_queryset and (cls.binding is not None or cls.model is not None):
            cls.queryset = queryset_for_routes(model_of(binding_class(cls)))

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer; what would end the server's event loop is an error of this request alone.

        Raises:
            BindingError: a project's code wants to end the thread.
        """
        with contained():
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a binding that a system check refuses, before anything else is asked."""
        self._demand()
        if has_columns(binding_class(type(self))):
            self._list_alone(request)
        super().initial(request, *args, **kwargs)

    def _list_alone(self, request: Request) -> None:
        """Refuse what asks for one row where rows are groups or sums, and not a model's instances.

        Raises:
            MethodNotAllowed: it does, and no code of the project's own does it.
        """
        own = {name for name in OF_ONE_ROW if _is_own(type(self), name)}
        if not own:  # pages for people offer no forms then
            self.http_method_names = ["get", "head", "options"]
        if self.action in OF_ONE_ROW - own:
            raise exceptions.MethodNotAllowed(
                str(request.method),
                detail=f"{type(self).__name__} can only list: its rows are columns of values() or "
                "of aggregate, and no instances of a model.",
            )

    def _demand(self) -> None:
        try:
            registry.judge(binding_class(type(self)))
        except Unsound as problem:
            raise exceptions.APIException(str(problem), code=problem.code) from None

    # What DRF asks for.

    def get_binding(self) -> Binding[Any]:
        """Return the binding, in the context of the request.

        Raises:
            ValidationError: the query's params are not what it takes.
        """
        request: Any = getattr(self, "request", None)
        if self._bound is None or self._bound[0] is not request:
            self._bound = (request, self._bind(request))
        return self._bound[1]

    def _bind(self, request: Request | None) -> Binding[Any]:
        binding = binding_class(type(self))
        if request is None:  # as when a schema is generated
            return binding()
        query = request.query_params.copy()
        for name in set(query) - set(binding.params):
            del query[name]
        params = from_query(binding.params, query)
        try:
            return binding(user=request.user, auth=request.auth, params=params)
        except InvalidParams as problem:
            detail = {"detail": str(problem), "code": problem.code}
            raise exceptions.ValidationError(detail) from None

    def get_queryset(self) -> QuerySet[Any]:
        """Return the binding's rows, in its order."""
        if self._names_queryset or "queryset" in vars(self):
            return super().get_queryset()
        self._base = queryset_of(self.get_binding())
        return self._base

    def get_permissions(self) -> Any:
        """Return the viewset's permissions, and those that the binding itself demands."""
        kind = binding_class(type(self))
        own = super().get_permissions()
        if kind.permission_classes is None and kind.get_permissions is Binding.get_permissions:
            return own
        return [*own, *self.get_binding().get_permissions()]

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """Return the viewset's own serializer, else the binding's."""
        if self.serializer_class is not None:
            return self.serializer_class
        return serializer_of(self.get_binding())

    def get_serializer_context(self) -> dict[str, Any]:
        """Return DRF's context, and what the binding adds to it."""
        return {**super().get_serializer_context(), **self.get_binding().get_serializer_context()}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Have what was read tagged, so that a client that has it already gets 304, and what was
        written named, so that a client can hear when it holds that."""
        final = super().finalize_response(request, response, *args, **kwargs)
        reads = request.method in ("GET", "HEAD") and self.action in ("list", "retrieve")
        if reads and final.status_code == 200 and isinstance(final, Response):
            modified = self._served.modified if self._served is not None else None
            make_conditional(request, final, modified)
        if request.method not in SAFE_METHODS and final.status_code < 400:
            self._name_write(final)
        return final

    def _name_write(self, response: Response) -> None:
        """Have an answer name what was written, unless the binding is read elsewhere: a replica may
        have it later."""
        binding = binding_class(type(self))
        written = router.db_for_write(model_of(binding))
        if written == alias_of(binding):
            response.headers[COMMIT_HEADER] = commit_token(written)

    # Actions.

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with the rows, from memory where they are the binding's own."""
        queryset = None
        if paginates_sequences(self.paginator):
            snapshot, queryset = self._held(LISTING)
            response = None if snapshot is None else self._list_from_memory(snapshot)
            if response is not None:
                return response
        if queryset is None:
            queryset = self.filter_queryset(self.get_queryset())
        return self._list_from_database(queryset)

    def _held(self, hooks: Mapping[str, Any]) -> tuple[Snapshot | None, QuerySet[Any] | None]:
        """Return the binding's rows in memory, and the queryset that they stand for, if it has
        been made."""
        if self._is_neutral():
            return held(self, None, None, hooks), None
        queryset = self.filter_queryset(self.get_queryset())
        return held(self, queryset, self._base, hooks), queryset

    def _is_neutral(self) -> bool:
        """Return whether a request filters and orders nothing, without asking the binding for its
        queryset, for which it may have to read; code of the project's own may look at that."""
        binding = self.get_binding()
        if not asks_code(binding) or self._names_queryset or "queryset" in vars(self):
            return False
        if not filters_any_class_alike(self):
            return False
        alias = alias_of(binding)
        probe = QuerySet[Any](binding.get_model(), using=alias)
        try:
            return reads_alike(self.filter_queryset(probe), probe, alias)
        except Exception:  # it needs the real one, which says what is wrong if that is wrong too
            return False

    def _list_from_memory(self, snapshot: Snapshot) -> Response | None:
        rows = list(snapshot.rows.values())
        page: Any = self.paginate_queryset(rows)
        if not is_exact(rows if page is None else page, snapshot.digest if page is None else None):
            return None
        self._served = snapshot
        if page is not None:
            return self.get_paginated_response([self._data_of(row, snapshot) for row in page])
        return self._answer(rows, snapshot, many=True)

    def _list_from_database(self, queryset: QuerySet[Any]) -> Response:
        binding = self.get_binding()
        if binding.aggregate is not None:
            rows = [queryset.aggregate(**binding.conditions("aggregate"))]
            return Response(self.get_serializer(rows, many=True).data)
        page = self.paginate_queryset(queryset)
        if page is not None:
            return self.get_paginated_response(self.get_serializer(page, many=True).data)
        return Response(self.get_serializer(queryset, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with a row, from memory where it is one of the binding's own."""
        key = None if asks_about_objects(map(type, self.get_permissions())) else self._key()
        # Code of the project's own may tell a row alone from one of a list.
        if key is not None and traits_of(self._serializer_class()).own:
            snapshot, _ = self._held(RETRIEVING)
            if snapshot is not None and snapshot.dicts:
                snapshot = None  # its keys are no model's
            # What is not found is looked for in the database, which compares by its own rules.
            row = None if snapshot is None else snapshot.rows.get(key)
            if snapshot is not None and row is not None and is_exact([row]):
                self._served = snapshot
                return self._answer([row], snapshot, many=False)
        return super().retrieve(request, *args, **kwargs)

    def get_object(self) -> Any:
        """Return the instance that the address names.

        Raises:
            MethodNotAllowed: rows are columns of `values()`.
        """
        if not self._names_queryset and has_dicts(self.get_queryset()):
            self._list_alone(self.request)
        return super().get_object()

    def _key(self) -> Key | None:
        """Return the key of the row that the address names, None if the database must tell."""
        pk = self.get_binding().get_model()._meta.pk
        if self.lookup_field not in ("pk", pk.name, pk.attname):
            return None
        try:
            value = pk.to_python(self.kwargs[self.lookup_url_kwarg or self.lookup_field])
        except ValidationError:
            return None
        return wire_key(value) if type(value) in (int, str, uuid.UUID) else None

    def _answer(self, rows: Sequence[str], snapshot: Snapshot, *, many: bool) -> Response:
        if self._adds_key(snapshot):
            data = [self._data_of(row, snapshot) for row in rows]
            return Response(data if many else data[0])
        response = TextResponse(rows, many=many)
        binding = self.get_binding()
        if many and binding.event is not None and self.serializer_class is None:
            response.headers[CURSOR_HEADER] = snapshot.cursor
        return response

    def _data_of(self, row: str, snapshot: Snapshot) -> Any:
        data = json.loads(row)
        if self._adds_key(snapshot):
            del data[snapshot.key]
        return data

    def _adds_key(self, snapshot: Snapshot) -> bool:
        """Return whether rows in memory have a key that the serializer leaves out."""
        return snapshot.key not in traits_of(self._serializer_class()).fields

    def _serializer_class(self) -> Any:
        """Return what `get_serializer_class` does, which a project's own may give another type."""
        return self.get_serializer_class()


def filters_any_class_alike(view: Any) -> bool:
    """Return whether a view filters by code that treats a queryset of any class alike: none of the
    project's own."""
    kind = type(view)
    usual = all(
        getattr(kind, name) is getattr(BoundModelViewSet, name)
        for name in ("filter_queryset", "get_queryset")
    )
    backends = [f"{backend.__module__}." for backend in view.filter_backends]
    named = any(hasattr(view, name) for name in ("filterset_class", "get_filterset_class"))
    return usual and not named and all(map(FILTERING.match, backends))


OF_ONE_ROW = frozenset({"retrieve", "create", "update", "partial_update", "destroy"})


def _is_own(viewset: type[BoundModelViewSet], action: str) -> bool:
    return getattr(viewset, action) is not getattr(BoundModelViewSet, action)


FILTERING = re.compile(r"(rest_framework|django_filters)\.")


def _methods(*names: str) -> Mapping[str, Any]:
    return {name: getattr(BoundModelViewSet, name) for name in names}


_SERIALIZING = _methods("get_serializer", "get_serializer_class", "get_serializer_context")
LISTING = {**_SERIALIZING, **_methods("paginate_queryset")}
RETRIEVING = {**_SERIALIZING, **_methods("get_object", "check_object_permissions")}
