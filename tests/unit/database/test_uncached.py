"""Rows come from the database, whatever stands between it and the ORM."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

import pytest
from django.db import connections
from django.db.models import QuerySet
from django.test import modify_settings

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import reading_from
from bindserver.database.uncached import past_caches
from bindserver.exceptions import BindingError
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from tests.app.models import Product

pytestmark = pytest.mark.django_db
Install = Callable[..., ModuleType]


class Remembering(QuerySet[Product]):
    """Answers with what it has read once, as a cache of querysets does."""

    known: list[Any] | None = None

    def _fetch_all(self) -> None:
        if Remembering.known is not None:
            self._result_cache = Remembering.known
        super()._fetch_all()
        Remembering.known = self._result_cache


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package that consists of one module with some attributes."""

    def installed(package: str, module: str, **attributes: Any) -> ModuleType:
        for name in (package, f"{package}.{module}"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
            sys.modules[name].__path__ = []
        vars(sys.modules[f"{package}.{module}"]).update(attributes)
        return sys.modules[f"{package}.{module}"]

    return installed


def with_app(package: str) -> AbstractContextManager[Any]:
    sys.modules[package].__file__ = __file__  # an app has a place
    return modify_settings(INSTALLED_APPS={"append": package})


class Remembered(Binding[Product]):
    model = Product
    fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[Product]:
        return Remembering(Product)


registry.remove(Remembered)


def test_rows_that_a_cache_of_querysets_answers_with_are_refused() -> None:
    Remembering.known = None
    Product.objects.create(name="Lamp", price=1)
    recorder = Recorder()
    with recorder.watching("default"):
        query = Query(Remembered())
        assert reading.load(query, recorder, Pacer(10)).count == 1
        with pytest.raises(BindingError, match="without a question to the database"):
            reading.load(query, recorder, Pacer(10))


def test_cachalot_answers_none_of_our_reads(install: Install) -> None:
    api = install("cachalot", "api", LOCAL_STORAGE=threading.local())
    with with_app("cachalot"):
        with reading_from("default"):
            assert api.LOCAL_STORAGE.cachalot_enabled is False
        assert api.LOCAL_STORAGE.cachalot_enabled is True


class State(list[dict[str, Any]]):
    """As cacheops' own: what one thread does in one database's transactions."""

    def begin(self) -> None:
        self.append({"cbs": [], "dirty": False})

    def rollback(self) -> None:
        self.pop()

    def mark_dirty(self) -> None:
        self[-1]["dirty"] = True


def test_cacheops_takes_our_reads_for_those_of_a_transaction_that_has_written(
    install: Install,
) -> None:
    states: Any = install(
        "cacheops", "transaction", transaction_states=defaultdict(State)
    ).transaction_states
    with with_app("cacheops"):
        with past_caches():
            assert all(states[alias][-1]["dirty"] for alias in connections)
        assert not any(states[alias] for alias in connections)
