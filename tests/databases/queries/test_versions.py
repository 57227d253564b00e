"""Versions of model instances: equal for equal rows, and by nothing else."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import uuid
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage
from django.db import models
from django.db.models import Count, ExpressionWrapper, F, Prefetch, QuerySet, Subquery
from django.db.models.signals import post_init
from django.test.utils import isolate_apps

from bindserver import Binding
from bindserver.queries.versions import fingerprint, loaded_beside
from bindserver.testing import Live
from tests.app.models import Category, Product, Tag, Word
from tests.support.shop import Shop


class Tracker:
    """What packages hang on instances: its `repr` is an address, and it is another each time."""

    def __init__(self, instance: Product) -> None:
        self.instance = instance
        self.seen = object()


@pytest.fixture
def tracked() -> Iterator[None]:
    def track(instance: Any, **_: Any) -> None:
        instance.tracker = Tracker(instance)

    post_init.connect(track, sender=Product)
    yield
    post_init.disconnect(track, sender=Product)


class Numbers:
    """Values as numeric packages have them: many, of which `repr` shows a few."""

    def __init__(self, values: list[float]) -> None:
        self.values = array("d", values)

    def __repr__(self) -> str:
        return "Numbers([1.0, …, 9.0])"


class Handle:
    """Something that nobody can take apart."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("cannot be pickled")


class Money:
    """Says less than it is, and knows its text by heart after it was asked for it."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __str__(self) -> str:
        self.text = f"{self.cents // 100} €"
        return self.text

    __repr__ = __str__


class MoneyField(models.IntegerField):  # type: ignore[type-arg]  # it takes none at run time
    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Money:
        return Money(value)

    def get_prep_value(self, value: Any) -> int:
        return int(value.cents)


class NumbersField(models.BinaryField):  # type: ignore[type-arg]  # it takes none at run time
    """Leaves the values to `get_db_prep_value`, as many do."""


with isolate_apps("tests.app"):

    class Measured(models.Model):
        price = MoneyField(default=0)
        values = NumbersField(null=True)
        data = models.JSONField(default=dict)
        file = models.FileField(storage=InMemoryStorage(), null=True)

        class Meta:
            app_label = "app"


def version(instance: models.Model, queryset: QuerySet[Any] | None = None) -> str:
    known = queryset if queryset is not None else QuerySet(type(instance))
    return fingerprint(instance, loaded_beside(known))


def measured(**values: Any) -> str:
    return version(Measured(pk=1, **{"price": Money(100), **values}))


def with_data(value: Any) -> str:
    return measured(data=value)


class TestColumns:
    def test_what_an_instance_has_besides_is_no_part_of_it(self) -> None:
        one = Product(pk=1, name="a")
        other: Any = Product(pk=1, name="a")
        other.tracker = Tracker(other)
        other.changed_at = datetime.datetime.now(datetime.UTC)
        assert version(one) == version(other)
        other.name = "b"
        assert version(one) != version(other)

    def test_a_value_is_what_its_field_gives_to_the_database(self) -> None:
        asked = Money(100)
        assert str(asked)
        assert measured(price=asked) == measured(price=Money(100))
        assert measured(price=Money(101)) != measured(price=Money(100))

    def test_else_it_is_what_it_is_made_of(self) -> None:
        one, other = Numbers([1, 2, 3]), Numbers([1, 4, 3])
        assert repr(one) == repr(other)
        assert measured(values=one) != measured(values=other)
        assert measured(values=one) == measured(values=Numbers([1, 2, 3]))

    def test_bytes_are_bytes_however_they_come(self) -> None:
        known = {measured(values=kind(b"abc")) for kind in (memoryview, bytearray)}
        assert len(known | {measured(values=memoryview(b"abd"))}) == 3

    def test_what_cannot_be_told_is_equal_to_nothing(self) -> None:
        handle = Handle()
        assert measured(values=handle) != measured(values=handle)
        assert measured(values=lambda: 1) != measured(values=lambda: 1)

    def test_a_file_is_its_name_before_and_after_it_was_asked_for(self) -> None:
        one, other = (Measured(pk=1, price=Money(1), file="a.txt") for _ in range(2))
        assert other.file.name == "a.txt"
        assert version(one) == version(other)
        empty, asked = (Measured(pk=1, price=Money(1), file=None) for _ in range(2))
        assert not asked.file
        assert version(empty) == version(asked)

    def test_values_of_different_types_are_different(self) -> None:
        moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        values: list[Any] = [
            *(0, 0.0, False, None, "0", b"0", decimal.Decimal(0), decimal.Decimal("0.0")),
            *([], {}, (), set(), [0], (0,), {0}, {"0": 0}, {0: 0}, {0: "0"}, [[0]], "[0]"),
            *(moment, moment.replace(tzinfo=None), moment.replace(fold=1), moment.date()),
            *(uuid.UUID(int=0), datetime.timedelta(0), range(3), Money(0), OrderedDict()),
        ]
        assert len({with_data(value) for value in values}) == len(values)

    def test_one_that_is_in_itself_ends(self) -> None:
        def circle(length: int) -> list[Any]:
            first: list[Any] = []
            last = first
            for _ in range(length):
                last.append([])
                last = last[0]
            last.append(first)
            return first

        assert with_data(circle(2)) == with_data(circle(2)) != with_data(circle(3))

    def test_parts_that_are_one_object_are_like_equal_ones(self) -> None:
        shared = [1]
        assert with_data([shared, shared]) == with_data([[1], [1]])
        assert with_data({1, 2, "a"}) == with_data({"a", 2, 1})

    def test_columns_that_were_not_read_count(self) -> None:
        assert version(Product(pk=1)) != version(Product.from_db("default", ["id"], [1]))


SAYS = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes"])
django.setup()
from django.contrib.contenttypes.models import ContentType
from bindserver.queries.versions import fingerprint
print(fingerprint(ContentType(pk=1, model={"a", "b", "c", 1}), {}))
"""


def test_a_version_is_the_same_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAYS],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def counted() -> QuerySet[Tag]:
    return Tag.objects.annotate(n=Subquery(Word.objects.values("count")[:1]))


class Annotating(models.Manager["Tag"]):
    def get_queryset(self) -> QuerySet[Tag]:
        return super().get_queryset().annotate(products=Count("product"))


@pytest.mark.usefixtures("database")
class TestWhatWasLoadedAlong:
    def first(self, queryset: QuerySet[Any]) -> str:
        [instance] = queryset.iterator(chunk_size=10)
        return version(instance, queryset)

    @pytest.fixture(autouse=True)
    def _rows(self, database: Any) -> None:
        category = Category.objects.create(pk=1, name="c")
        Product.objects.create(pk=1, name="a", category=category).tags.create(pk=1, name="t")

    @pytest.mark.parametrize(
        ("queryset", "write"),
        [
            (
                Product.objects.annotate(n=F("category__name")),
                lambda: Category.objects.update(name="d"),
            ),
            (
                Product.objects.extra(select={"n": "SELECT name FROM app_category"}),
                lambda: Category.objects.update(name="d"),
            ),
            (Product.objects.select_related("category"), lambda: Category.objects.update(name="d")),
            (Product.objects.prefetch_related("tags"), lambda: Tag.objects.update(name="u")),
            (
                Product.objects.prefetch_related("category__product_set__tags"),
                lambda: Tag.objects.update(name="u"),
            ),
            (
                Product.objects.prefetch_related(Prefetch("tags", to_attr="labels")),
                lambda: Tag.objects.update(name="u"),
            ),
            (
                Product.objects.prefetch_related(Prefetch("tags", counted(), to_attr="labels")),
                lambda: Word.objects.create(text="a", count=5),
            ),
            (
                Category.objects.prefetch_related(
                    Prefetch(
                        "product_set",
                        Product.objects.prefetch_related(Prefetch("tags", counted())),
                    )
                ),
                lambda: Word.objects.create(text="a", count=5),
            ),
        ],
        ids=[
            *("annotation", "extra", "select_related", "prefetch", "nested", "to_attr"),
            *("annotated", "annotated and nested"),
        ],
    )
    def test_counts(self, queryset: QuerySet[Any], write: Any) -> None:
        before = self.first(queryset.all())
        assert self.first(queryset.all()) == before
        write()
        assert self.first(queryset.all()) != before

    def test_what_a_manager_annotates_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        manager = Annotating()
        manager.model = Tag
        monkeypatch.setattr(Tag._meta, "default_manager", manager)
        queryset = Product.objects.filter(pk=1).prefetch_related(Prefetch("tags", to_attr="labels"))
        assert "products" in loaded_beside(queryset)

    def test_instances_that_know_each_other_end(self) -> None:
        queryset = Category.objects.prefetch_related("product_set__category__product_set")
        assert self.first(queryset.all()) == self.first(queryset.all())

    def test_an_annotation_is_compared_as_its_field_has_it(self) -> None:
        queryset = Product.objects.annotate(
            paid=ExpressionWrapper(F("stock"), output_field=MoneyField())
        )
        assert self.first(queryset.all()) == self.first(queryset.all())


@pytest.mark.usefixtures("tracked")
def test_a_tracker_on_instances_makes_no_new_version(shop: Shop) -> None:
    class Kept(Binding[Product]):
        model = Product

    shop.add_products(2)
    binding = Kept()
    first = binding.version
    shop.run("UPDATE app_product SET name = name")
    assert binding.version == Kept().version == first
    shop.run("UPDATE app_product SET stock = 7 WHERE id = 2")
    assert binding.version != first
    assert [row.stock for row in binding.all()] == [0, 7]


NOTHING = {
    "none": lambda: Product.objects.none(),
    "no keys": lambda: Product.objects.filter(pk__in=[]),
}


@pytest.mark.parametrize("how", NOTHING)
def test_a_prefetch_that_can_find_nothing_finds_nothing(shop: Shop, how: str) -> None:
    class Emptied(Binding[Category]):
        event = "emptied"
        fields = ["id"]
        queryset = Category.objects.prefetch_related(Prefetch("product_set", NOTHING[how]()))

    Category.objects.create(pk=1, name="c")
    shop.add_products(1, category_id=1)
    [category] = Emptied().all()
    assert list(category.product_set.all()) == []
    assert Live().subscribe(Emptied).rows == [{"id": 1}]
