"""Which views and subjects are kept, and for how long."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth.models import User

from bindserver.catalogue import Catalogue
from bindserver.engine.changes import Position
from bindserver.wishes import Caller
from tests.app.bindings import ProductBinding


def test_a_view_does_not_gather_subjects_of_users_who_left(database: Path) -> None:
    catalogue = Catalogue("default", b"secret")
    position = Position(epoch="", mark="")
    for pk in range(1, 4):
        catalogue.resolve(ProductBinding, Caller(user=User(pk=pk)), {}, position)
    assert len(catalogue.views()) == 1
    assert len(catalogue.subjects()) == 3
    catalogue.let_go()
    assert len(catalogue.views()) == 1
    assert catalogue.subjects() == []
