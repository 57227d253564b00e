"""Holds the oracle's own SQL against Django's ORM and DRF's serializers."""

from __future__ import annotations

import json

from django.contrib.auth.models import User

from bindserver.bindings.registry import registry
from bindserver.database.pacing import Pacer
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from tests.oracle.shapes import Rows
from tests.oracle.truth import Name, comparable

PATIENCE_SECONDS = 10


def by_orm(name: Name) -> Rows:
    """Return a view's rows as its binding's queryset and serializer give them."""
    user = User.objects.filter(pk=name.user).first()
    binding = registry.get(name.event)(user=user, params=name.parsed())
    read = reading.load(Query(binding), Recorder(), Pacer(PATIENCE_SECONDS))
    rows: Rows = [json.loads(fresh.text) for fresh in read.fresh.values()]
    return comparable(name, rows)
