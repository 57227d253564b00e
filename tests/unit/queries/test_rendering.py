"""Rendering: the same text as DRF's serializer gives, whichever way a row was read."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.db import connections, models
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.utils.encoders import JSONEncoder

from bindserver.bindings.model_serializers import plain_serializer
from bindserver.bindings.row_keys import wire_key
from bindserver.bindings.serializers import NoRequest
from bindserver.database.pacing import Pacer
from bindserver.exceptions import BindingError, QueryTimeout
from bindserver.queries.json_text import to_json
from bindserver.queries.rendering import Around, Renderer, Row, alone
from bindserver.queries.serializer_formats import describe
from bindserver.queries.slots import ALL, Slots
from tests.app.models import Category, Product, Word

UTC = datetime.UTC


class Sample(models.Model):
    """A column of every type."""

    integer = models.IntegerField(default=0)
    big = models.BigIntegerField(default=0)
    small = models.PositiveSmallIntegerField(null=True)
    truth = models.BooleanField(null=True)
    text = models.TextField(default="")
    chars = models.CharField(max_length=50, null=True)
    choice = models.CharField(max_length=1, choices=[("a", "Apple"), ("b", "Bean")], default="a")
    number = models.IntegerField(choices=[(1, "one"), (2, "two")], null=True)
    decimal = models.DecimalField(max_digits=20, decimal_places=5, null=True)
    real = models.FloatField(null=True)
    date = models.DateField(null=True)
    time = models.TimeField(null=True)
    moment = models.DateTimeField(null=True)
    span = models.DurationField(null=True)
    uid = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    email = models.EmailField(default="")
    url = models.URLField(default="")
    slug = models.SlugField(default="")
    address = models.GenericIPAddressField(null=True)
    blob = models.BinaryField(null=True)
    parent = models.ForeignKey("self", on_delete=models.DO_NOTHING, null=True, related_name="+")
    category = models.ForeignKey(Category, on_delete=models.DO_NOTHING, null=True, related_name="+")
    word = models.ForeignKey(Word, on_delete=models.DO_NOTHING, null=True, related_name="+")

    objects: ClassVar[models.Manager[Sample]] = models.Manager()

    class Meta:
        app_label = "app"
        managed = False


ROWS: dict[str, dict[str, Any]] = {
    "all by default": {},
    "whole numbers": {"integer": -5, "small": 7, "number": 2, "truth": False},
    "beyond what JavaScript counts": {"big": 2**63 - 1},
    "just beyond it": {"big": -(2**53)},
    "the last that it counts": {"big": 2**53 - 1},
    "decimals": {"decimal": Decimal("12345.60000")},
    "a decimal below zero": {"decimal": Decimal("-0.00001")},
    "floats": {"real": 0.1},
    "a large float": {"real": 1.5e300},
    "a float of many digits": {"real": 1234567890123456.7},
    "infinity": {"real": float("inf")},
    "unicode": {"text": 'grüße, 世界 🎈 \u2028 \x7f "quoted" \\ </script>', "chars": "é"},
    "what looks like a special number": {"text": "NaN Infinity 12345678901234567890"},
    "an empty text": {"chars": "", "choice": ""},
    "an unknown choice": {"choice": "z", "number": 9},
    "dates": {
        "date": datetime.date(2026, 2, 3),
        "time": datetime.time(4, 5, 6, 789),
        "moment": datetime.datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        "span": datetime.timedelta(days=3, hours=2, microseconds=5),
    },
    "a moment on the second": {"moment": datetime.datetime(2026, 2, 3, tzinfo=UTC)},
    "an identifier": {"uid": uuid.UUID(int=77)},
    "data": {"data": {"a": [1, 2.5, None, True, {"b": "ü"}], "big": 2**60}},
    "data that is a text": {"data": "text"},
    "half a character": {"data": {"x": "\ud83d"}},
    "an empty list": {"data": []},
    "texts of a kind": {"email": "a@b.example", "url": "https://b.example/?a=1&b=2", "slug": "s-1"},
    "an address": {"address": "2001:db8::1"},
    "bytes": {"blob": b"\x00\xff"},
    "relations": {"category_id": 1, "word_id": "wörd", "parent_id": 1},
}


@pytest.fixture
def samples(database: Path) -> None:
    with connections["default"].schema_editor() as editor:
        editor.create_model(Sample)
    Category.objects.create(pk=1, name="c")
    Word.objects.create(text="wörd")
    for number, values in enumerate(ROWS.values(), start=1):
        Sample.objects.create(pk=number, **values)


def rendered(
    queryset: QuerySet[Any],
    serializer: type[serializers.BaseSerializer[Any]],
    context: dict[str, Any] | None = None,
) -> list[Row]:
    renderer = Renderer(queryset.model, serializer, context or {}, [])
    return list(renderer.rows(queryset, Pacer(10)))


class _Model(Renderer):
    """Renders from model instances, whatever the fields."""

    def rows(
        self,
        queryset: QuerySet[Any],
        pacer: Pacer,
        slots: Slots = ALL,
        during: Around = alone,
    ) -> Generator[Row, None, None]:
        return self._model_rows(queryset, pacer, slots, during)


@pytest.mark.usefixtures("samples")
class TestPlainFields:
    PLAIN = [f.name for f in Sample._meta.concrete_fields if f.name != "blob"]

    def test_are_read_without_model_instances(self) -> None:
        serializer = plain_serializer(Sample, self.PLAIN)
        assert Renderer(Sample, serializer, {}, [])._plain is not None
        assert Renderer(Sample, plain_serializer(Sample, "__all__"), {}, [])._plain is None

    @pytest.mark.parametrize("number", range(len(ROWS)), ids=list(ROWS))
    def test_give_the_text_that_the_serializer_gives(self, number: int) -> None:
        serializer = plain_serializer(Sample, self.PLAIN)
        queryset = Sample.objects.filter(pk=number + 1)
        [plain] = rendered(queryset, serializer)
        [model] = _Model(Sample, serializer, {}, []).rows(queryset, Pacer(10))
        assert plain == model
        assert json.loads(plain.text) == self._as_drf_sends(serializer, number + 1)

    @staticmethod
    def _as_drf_sends(serializer: type[serializers.BaseSerializer[Any]], pk: int) -> Any:
        """Return DRF's own rendering, the contract's two exceptions applied."""

        def exact(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: exact(item) for name, item in value.items()}
            if isinstance(value, list):
                return [exact(item) for item in value]
            if isinstance(value, int) and abs(value) >= 2**53:
                return str(value)
            return value

        data = serializer(Sample.objects.get(pk=pk)).data
        text = json.dumps(data, cls=JSONEncoder)
        return exact(json.loads(text, parse_constant=lambda _: None))

    def test_every_row_can_be_sent(self) -> None:
        for row in rendered(Sample.objects.order_by("pk"), plain_serializer(Sample, self.PLAIN)):
            row.text.encode()
            json.loads(row.text, parse_constant=pytest.fail)

    def test_all_fields_together_render_like_the_plain_ones(self) -> None:
        every = rendered(Sample.objects.order_by("pk"), plain_serializer(Sample, "__all__"))
        plain = rendered(Sample.objects.order_by("pk"), plain_serializer(Sample, self.PLAIN))
        for one, other in zip(every, plain, strict=True):
            data = json.loads(one.text)
            del data["blob"]
            assert data == json.loads(other.text)


class TestKeys:
    def rows(self, serializer: type[serializers.BaseSerializer[Any]]) -> list[Row]:
        Product.objects.create(pk=3, name="a")
        return rendered(Product.objects.all(), serializer)

    @pytest.mark.usefixtures("database")
    def test_a_serializer_without_the_key_gets_it(self) -> None:
        [row] = self.rows(plain_serializer(Product, ["name"]))
        assert (row.key, row.text) == (3, '{"id":3,"name":"a"}')

    @pytest.mark.usefixtures("database")
    def test_a_custom_serializer_without_the_key_gets_it(self) -> None:
        class Loud(serializers.Serializer[Any]):
            loud = serializers.SerializerMethodField()

            def get_loud(self, product: Product) -> str:
                return product.name.upper()

        [row] = self.rows(Loud)
        assert (row.key, row.text) == (3, '{"id":3,"loud":"A"}')

    @pytest.mark.usefixtures("database")
    def test_a_key_under_another_name_is_found(self) -> None:
        class Renamed(serializers.Serializer[Any]):
            number = serializers.IntegerField(source="pk")

        assert Renderer(Product, Renamed, {}, []).key == "number"
        [row] = self.rows(Renamed)
        assert (row.key, row.text) == (3, '{"number":3}')

    @pytest.mark.usefixtures("samples")
    @pytest.mark.parametrize("column", ["real", "truth", "moment", "span", "data"])
    @pytest.mark.parametrize("named", [True, False], ids=["served", "left out"])
    def test_a_row_bears_its_key_as_the_wire_carries_it(
        self, column: str, named: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pk = Sample._meta.get_field(column)
        serializer = plain_serializer(Sample, [column if named else "integer"])
        monkeypatch.setattr(Sample._meta, "pk", pk)
        queryset = Sample.objects.exclude(**{column: None}).order_by(column)
        rows = rendered(queryset, serializer)
        assert rows
        assert [json.loads(row.text)[column] for row in rows] == [row.key for row in rows]

    @pytest.mark.parametrize(
        ("value", "key"),
        [
            (1, 1),
            (2**53 - 1, 2**53 - 1),
            (2**53, "9007199254740992"),
            (-(2**60), str(-(2**60))),
            ("a", "a"),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (True, "True"),
        ],
    )
    def test_are_strings_or_small_integers(self, value: Any, key: Any) -> None:
        assert wire_key(value) == key


@pytest.mark.usefixtures("database")
class TestContext:
    def test_a_serializer_that_asks_for_the_request_fails_loudly(self) -> None:
        class Asks(serializers.ModelSerializer[Product]):
            mine = serializers.SerializerMethodField()

            class Meta:
                model = Product
                fields = ["id", "mine"]

            def get_mine(self, product: Product) -> bool:
                return bool(self.context["request"].user)

        Product.objects.create(name="a")
        with pytest.raises(BindingError, match=r"no request.*get_serializer_context"):
            rendered(Product.objects.all(), Asks)

    def test_other_missing_names_are_key_errors(self) -> None:
        with pytest.raises(KeyError, match="x"):
            NoRequest()["x"]

    def test_a_serializer_gets_what_the_binding_gives(self) -> None:
        class Scaled(serializers.Serializer[Any]):
            stock = serializers.SerializerMethodField()

            def get_stock(self, product: Product) -> int:
                return int(product.stock * self.context["factor"])

        Product.objects.create(pk=1, name="a", stock=4)
        [row] = rendered(Product.objects.all(), Scaled, {"factor": 10})
        assert row.text == '{"id":1,"stock":40}'


@pytest.mark.usefixtures("database")
def test_reading_that_takes_too_long_is_stopped() -> None:
    class Slow(serializers.Serializer[Any]):
        slow = serializers.SerializerMethodField()

        def get_slow(self, product: Product) -> None:
            import time

            time.sleep(0.05)

    Product.objects.bulk_create([Product(name="a")] * 10)
    with pytest.raises(QueryTimeout, match=r"longer than 0\.1 s"):
        list(Renderer(Product, Slow, {}, []).rows(Product.objects.all(), Pacer(0.1)))


def test_json_of_what_json_has_not() -> None:
    assert to_json({"a": float("nan"), "b": [2**53]}) == '{"a":null,"b":["9007199254740992"]}'
    assert to_json({"a": "\ud800"}) == '{"a":"\\ud800"}'
    assert to_json({"a": "é"}) == '{"a":"é"}'


def test_a_row_format_differs_with_fields_sources_and_code() -> None:
    class One(serializers.Serializer[Any]):
        name = serializers.CharField()

    class Other(serializers.Serializer[Any]):
        name = serializers.CharField(source="sku")

    def method(text: str) -> type[serializers.Serializer[Any]]:
        class Method(serializers.Serializer[Any]):
            name = serializers.SerializerMethodField()

            def get_name(self, _: Any) -> str:
                return "a"

        if text == "b":
            kind: Any = Method
            kind.get_name = lambda self, _: "b"
        return Method

    shapes: list[type[Any]] = [
        One,
        Other,
        method("a"),
        method("b"),
        plain_serializer(Product, ["id"]),
    ]
    described = [json.dumps(describe(shape()), default=str) for shape in shapes]
    assert len(set(described)) == len(shapes)
    assert describe(method("a")()) == describe(method("a")())


def test_a_row_format_ends_where_a_field_is_given_the_serializer_it_belongs_to() -> None:
    """As drf-flex-fields hands itself down to what it expands."""

    class Inner(serializers.Serializer[Any]):
        name = serializers.CharField()

        def __init__(self, *args: Any, above: serializers.Serializer[Any], **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.above = above

    class Outer(serializers.Serializer[Any]):
        def get_fields(self) -> dict[str, Any]:
            return {"inner": Inner(above=self)}

    assert describe(Outer()) == describe(Outer())
    assert describe(Outer()) != describe(Inner(above=Outer()))
