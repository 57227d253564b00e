"""Views of the database: what stands behind them is followed, where a binding says it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections, models

from bindserver import Binding
from bindserver.capture.log import log_of
from tests.app.bindings import ProductBinding
from tests.app.models import Product, Tag
from tests.conftest import BARE
from tests.support.turning import Turning, add


class Summary(models.Model):
    """What a database view gives."""

    stock = models.IntegerField()

    class Meta:
        app_label = "app"
        managed = False


def declare(**declared: Any) -> type[Binding[Summary]]:
    body = {"model": Summary, "event": "summaries", "fields": ["id", "stock"], **declared}
    return type("Summaries", (Binding,), body)


def install() -> str:
    """Install the change log, and return what was said of what is wrong."""
    said = StringIO()
    call_command("bindings", "capture", "install", verbosity=0, stderr=said)
    return said.getvalue()


@pytest.mark.parametrize("vendor", sorted(BARE))
class TestADatabaseView:
    @pytest.fixture(autouse=True)
    def view(self, vendor: str, request: pytest.FixtureRequest) -> None:
        request.getfixturevalue(BARE[vendor])
        with connections["default"].cursor() as cursor:
            cursor.execute("CREATE VIEW app_summary AS SELECT id, stock FROM app_product")

    def test_that_nobody_explains_is_warned_of_by_name_and_all_else_is_installed(self) -> None:
        declare()
        said = install()
        assert "Summaries reads app_summary, a database view" in said
        assert "depends_on = [Model" in said
        watched = log_of(connections["default"]).status()["tables"]
        assert {"app_product", "app_tag"} <= set(watched)
        assert "app_summary" not in watched

    def test_that_is_explained_is_not_warned_of(self) -> None:
        declare(depends_on=[Product])
        assert install() == ""
        assert "app_summary" not in log_of(connections["default"]).status()["tables"]

    @pytest.mark.parametrize("named", [Product, "app.Product"])
    def test_is_read_again_when_what_stands_behind_it_changes(self, named: Any) -> None:
        kind = declare(depends_on=[named])
        install()
        with Turning() as turning:
            add(1, stock=5)
            summaries, products = turning.follow(kind()), turning.follow(ProductBinding())
            turning.turn()
            assert summaries.told() == products.told() == ["sync"]
            Product.objects.update(stock=6)
            turning.turn()
            assert summaries.told() == ["update"]
            assert summaries.column("stock") == [6]
            Product.objects.all().delete()
            turning.turn()
            assert summaries.told() == ["delete"]

    def test_is_not_read_when_something_else_changes(self) -> None:
        kind = declare(depends_on=[Product])
        install()
        with Turning() as turning:
            add(1)
            turning.follow(kind())
            turning.turn()
            Tag.objects.create(name="new")
            turning.turn()
            assert turning.statements == []

    def test_that_is_explained_has_commit_marks_and_is_not_compared(self) -> None:
        kind = declare(depends_on=[Product])
        install()
        with Turning() as turning:
            follower = turning.follow(kind())
            turning.turn()
            assert turning.source.unseen() == frozenset()
            position = turning.views()[0].position
            assert follower not in turning.store.lagging(position, turning.source.unseen())

    def test_explained_for_one_binding_is_not_for_another(self) -> None:
        explained = declare(depends_on=[Product])
        other = declare(event="others")
        install()
        with Turning() as turning:
            add(1, stock=5)
            first, second = turning.follow(explained()), turning.follow(other())
            turning.turn()
            Product.objects.update(stock=6)
            turning.turn()
            assert first.column("stock") == [6]
            turning.compare_suspects()
            turning.turn()
            assert second.column("stock") == [6]

    def test_of_which_instances_say_different_things_makes_different_views(self) -> None:
        said = [Binding(model=Summary, depends_on=[kind], fields=["id"]) for kind in (Product, Tag)]
        install()
        with Turning() as turning:
            for binding in said:
                turning.follow(binding)
            turning.turn()
            assert len(turning.views()) == 2


@pytest.mark.parametrize("named", ["app.Nothing", "Product", Summary(), Product.objects])
def test_what_names_no_model_is_refused_at_run_time_too(database: Any, named: Any) -> None:
    kind = declare(depends_on=[named])
    with Turning() as turning:
        follower = turning.follow(kind())
        turning.turn()
        assert follower.told() == ["error"]
        assert turning.views() == []


def test_a_table_that_stands_behind_no_view_counts_as_read(database: Any) -> None:
    """As one that a stored function reads."""
    with Turning() as turning:
        turning.follow(Binding(model=Product, fields=["id"], depends_on=[Tag]))
        turning.turn()
        Tag.objects.create(name="new")
        turning.turn()
        assert len(turning.statements) == 1
