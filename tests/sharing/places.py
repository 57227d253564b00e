"""The places in which two contexts of a binding may differ, and values that look alike there.

A *sample* is a recipe for a value: made twice, it makes two values that nobody can tell apart. Two
samples make values that are not the same, though they may have one `repr`, one `str` and one hash,
and be equal to Python.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import random
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from django.db.models import F, Prefetch, QuerySet, Value
from django.db.models.expressions import RawSQL
from rest_framework import serializers

from bindserver import Binding
from tests.app.models import Category, Product, Tag
from tests.sharing.shapes import NARROWED


class LookAlike:
    """What any other one is equal to, and writes itself alike."""

    def __init__(self, secret: object) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return "default"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LookAlike)

    def __hash__(self) -> int:
        return 1

    def __conform__(self, protocol: object) -> str:
        """Return what SQLite is sent for it, as drivers' adapters do."""
        return str(self.secret)


class Slotted:
    """What nobody can hold weakly."""

    __slots__ = ("secret",)

    def __init__(self, secret: object) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return "default"


def shown(value: Any) -> Any:
    """Return all there is to know of a value, as text: the truth that rows are rendered by."""
    if isinstance(value, (LookAlike, Slotted)):
        return f"{type(value).__name__} {value.secret}"
    if isinstance(value, models.Model):
        loaded = {name: item for name, item in sorted(vars(value).items()) if name != "_state"}
        related = sorted(value._state.fields_cache.items())
        return f"{type(value).__name__} {shown(loaded)} {shown(related)}"
    if isinstance(value, dict):
        return f"dict {[(shown(name), shown(item)) for name, item in value.items()]}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} {[shown(item) for item in value]}"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__} {sorted(map(str, map(shown, value)))}"
    if isinstance(value, (memoryview, bytearray)):
        return f"{type(value).__name__} {bytes(value)!r}"
    if isinstance(value, AnonymousUser):
        return f"nobody {shown(vars(value))}"
    if isinstance(value, functools.partial):
        return f"partial {value.func} {shown(value.args)} {shown(value.keywords)}"
    return f"{type(value).__name__} {value!r}"


def _long(secret: int) -> dict[str, Any]:
    """Return data of which a shortened text shows the same."""
    return {"of": "x" * 60, "secret": secret}


DATA: tuple[Callable[[int], Any], ...] = (
    lambda n: n,
    lambda n: bool(n % 2),
    float,
    lambda n: -0.0 if n % 2 else 0.0,
    str,
    lambda n: decimal.Decimal(n),
    lambda n: decimal.Decimal(f"{n}.0"),
    lambda n: str(n).encode(),
    lambda n: bytearray(str(n).encode()),
    lambda n: memoryview(str(n).encode()),
    lambda n: None,
    _long,
    lambda n: [_long(n)],
    lambda n: {n: 1},
    lambda n: {str(n): 1},
    lambda n: [n, "2"],
    lambda n: (n, "2"),
    lambda n: {n, 100},
    lambda n: frozenset({n, 100}),
    lambda n: datetime.date(2026, 1, 1 + n % 28),
    lambda n: datetime.datetime(2026, 1, 1 + n % 28),  # noqa: DTZ001  (one without a zone)
    lambda n: datetime.datetime(2026, 1, 1 + n % 28, tzinfo=datetime.UTC),
    lambda n: datetime.datetime(2026, 1, 1 + n % 28, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    lambda n: datetime.time(n % 24),
    lambda n: datetime.timedelta(n),
    lambda n: uuid.UUID(int=n),
    lambda n: range(n),
    lambda n: functools.partial(int, n),
)
"""Values that are told by type and content."""

SECRETS: tuple[Callable[[int], Any], ...] = (
    LookAlike,
    Slotted,
    lambda n: [LookAlike(n)],
    lambda n: {"a": Slotted(n)},
    lambda n: lambda: n,
    lambda n: type("Row", (), {"secret": n}),
)
"""Values that nobody can tell but by themselves."""


LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


def _person(n: int, **extra: Any) -> User:
    """Return one of some users whose texts are the same."""
    return User(pk=1 + n, username="default", date_joined=LONG_AGO, **extra)


PEOPLE: tuple[Callable[[int], Any], ...] = (
    _person,
    lambda n: _with(_person(0), scopes=[f"read {n}"]),
    lambda n: _with(_person(0), _scopes={n}),
    lambda n: _person(0, first_name=str(n)),
    lambda n: _with(AnonymousUser(), tenant=n),
    lambda n: _with_related(n),
)


def _with(target: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(target, name, value)
    return target


def _with_related(n: int) -> Product:
    """Return one product with a category of one key, whose name differs."""
    return Product(pk=1, name="p", category=Category(pk=1, name=f"c{n}"))


@dataclass(frozen=True)
class Sample:
    """A recipe for a value."""

    kind: int
    number: int
    known: bool
    make: Callable[[int], Any]

    def value(self) -> Any:
        return self.make(self.number)


def _samples(
    known: tuple[Callable[[int], Any], ...], unknown: tuple[Callable[[int], Any], ...] = ()
) -> tuple[Sample, ...]:
    makers = [(make, True) for make in known] + [(make, False) for make in unknown]
    return tuple(
        Sample(kind, number, is_known, make)
        for kind, (make, is_known) in enumerate(makers)
        for number in (0, 1, 2)
    )


# Bindings, each of which shows what it was given in one place.


class Row(serializers.ModelSerializer[Any]):
    mark = serializers.SerializerMethodField()

    class Meta:
        model = Product
        fields = ["id", "mark"]

    def get_mark(self, product: Product) -> str:
        return str(shown(self.context["value"]))


class InContext(Binding[Product]):
    model = Product
    serializer_class = Row

    def get_serializer_context(self) -> dict[str, Any]:
        return {"value": self.auth}


KEPT = LookAlike(None)


class InKept(Binding[Product]):
    """One object for all, changed for each."""

    model = Product
    serializer_class = Row

    def get_serializer_context(self) -> dict[str, Any]:
        KEPT.secret = self.auth
        return {"value": KEPT}


class Marked(serializers.ModelSerializer[Any]):
    mark = serializers.ReadOnlyField()

    class Meta:
        model = Product
        fields = ["id", "mark"]


class InArguments(Binding[Product]):
    model = Product
    serializer_class = Marked

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.annotate(mark=RawSQL("%s", [self.auth], output_field=TEXT))


TEXT = models.TextField()


class Tagged(serializers.ModelSerializer[Any]):
    tags: Any = serializers.SlugRelatedField(many=True, read_only=True, slug_field="name")

    class Meta:
        model = Product
        fields = ["id", "tags"]


class InPrefetch(Binding[Product]):
    model = Product
    serializer_class = Tagged

    def get_queryset(self) -> QuerySet[Product]:
        tags = Tag.objects.filter(name__startswith=str(self.auth))
        return Product.objects.prefetch_related(Prefetch("tags", tags))


class OfProducts(serializers.ModelSerializer[Any]):
    chosen = serializers.SerializerMethodField()

    class Meta:
        model = Category
        fields = ["id", "chosen"]

    def get_chosen(self, category: Any) -> list[Any]:
        products = getattr(category, "chosen", None)
        products = category.product_set.all() if products is None else products
        return [[tag.name for tag in product.tags.all()] for product in products]


class InNestedPrefetch(Binding[Category]):
    model = Category
    serializer_class = OfProducts

    def get_queryset(self) -> QuerySet[Category]:
        tags = Tag.objects.filter(name__startswith=str(self.auth))
        products = Product.objects.prefetch_related(Prefetch("tags", tags))
        return Category.objects.prefetch_related(Prefetch("product_set", products))


class InToAttr(Binding[Category]):
    model = Category
    serializer_class = OfProducts

    def get_queryset(self) -> QuerySet[Category]:
        to_attr = ("chosen", "others")[self.auth % 2]
        products = Product.objects.filter(stock__gt=1)
        return Category.objects.prefetch_related(Prefetch("product_set", products, to_attr=to_attr))


class MadeAnew(Binding[Product]):
    model = Product

    def get_serializer_class(self) -> Any:
        return made(self.auth)


def made(secret: Any) -> Any:
    """Return a serializer class that differs in a closure alone."""

    class Made(serializers.ModelSerializer[Any]):
        mark = serializers.SerializerMethodField()

        class Meta:
            model = Product
            fields = ["id", "mark"]

        def get_mark(self, product: Product) -> str:
            return str(shown(secret))

    return Made


class OfAttribute(Binding[Product]):
    """A serializer class with a class attribute, a field's argument and a method of its own."""

    model = Product

    def get_serializer_class(self) -> Any:
        number = self.auth % 3
        fields: Mapping[str, Any] = {
            "price": serializers.DecimalField(max_digits=8, decimal_places=number),
            "mark": serializers.SerializerMethodField(method_name=("one", "other", "one")[number]),
            "attribute": number,
            "one": lambda serializer, product: serializer.attribute,
            "other": lambda serializer, product: "other",
            "Meta": type("Meta", (), {"model": Product, "fields": ["id", "price", "mark"]}),
        }
        return type("Row", (serializers.ModelSerializer,), {**fields, "__module__": __name__})


class Stateful(QuerySet[Product]):
    """A queryset that keeps something, and shows it."""

    secret: Any = None

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]  # types leave it out
        clone.secret = self.secret
        return clone

    def iterator(self, *args: Any, **kwargs: Any) -> Any:
        for product in super().iterator(*args, **kwargs):
            vars(product)["mark"] = str(shown(self.secret))
            yield product

    def __iter__(self) -> Any:
        return self.iterator(chunk_size=100)


class InQuerySet(Binding[Product]):
    model = Product
    serializer_class = Marked

    def get_queryset(self) -> QuerySet[Product]:
        products = Stateful(Product)
        products.secret = self.auth
        return products


class OfCategory(serializers.ModelSerializer[Any]):
    mark = serializers.CharField(source="category.name")

    class Meta:
        model = Product
        fields = ["id", "mark"]


class InKnownRelated(Binding[Product]):
    """A related manager's instance, whose row has been changed in memory alone."""

    model = Product
    serializer_class = OfCategory

    def get_queryset(self) -> QuerySet[Product]:
        category = Category.objects.get(pk=1)
        category.name = str(self.auth)
        return category.product_set.all()


class Shouting(models.CharField):  # type: ignore[type-arg]  # it takes none at run time
    """A field that reads what the database says otherwise."""

    def __init__(self, *args: Any, sign: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sign = sign

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "sign": self.sign}

    def from_db_value(self, value: Any, *_: Any) -> str:
        return f"{value}{self.sign}"


class InOutputField(Binding[Product]):
    """The same SQL, whose answer is read by other fields."""

    model = Product
    serializer_class = Marked

    def get_queryset(self) -> QuerySet[Product]:
        field = Shouting(sign=str(self.auth))
        return Product.objects.annotate(mark=RawSQL("'a'", [], output_field=field))


class Loud(Value):
    """An expression that converts by what it keeps."""

    def __init__(self, value: Any, secret: Any) -> None:
        super().__init__(value, output_field=models.TextField())
        self.secret = secret

    @property
    def convert_value(self) -> Any:
        return lambda value, *_: f"{value} {shown(self.secret)}"


class InExpression(Binding[Product]):
    model = Product
    serializer_class = Marked

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.annotate(mark=Loud("a", self.auth))


class OfLimit(Binding[Product]):
    model = Product
    fields = ["id"]

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.order_by(F("stock").desc(), "pk")[: 1 + self.auth]


class Masked(serializers.Field[Any, Any, Any, Any]):
    """A param that is not shown as it is."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return "***"


class InParams(Binding[Product]):
    model = Product
    fields = ["id", "name"]
    params = {"key": Masked()}

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.filter(name__endswith=str(self.params["key"]))


@dataclass(frozen=True)
class Place:
    """Somewhere in a binding's context, and what may stand there."""

    name: str
    samples: tuple[Sample, ...]
    bind: Callable[[Any], Binding[Any]]

    def pair(self, choose: random.Random) -> tuple[Sample, Sample]:
        """Return two samples: the same twice, two of one kind, or any two."""
        one = choose.choice(self.samples)
        others = [other for other in self.samples if other.kind == one.kind]
        return one, choose.choice(choose.choice(([one], others, self.samples)))


def _by_auth(kind: type[Binding[Any]]) -> Callable[[Any], Binding[Any]]:
    return lambda value: kind(auth=value)


ARGUMENTS = _samples(
    (int, str, float, lambda n: str(n).encode(), lambda n: memoryview(str(n).encode())),
    (LookAlike,),
)
NUMBERS = _samples((int,))

PLACES: tuple[Place, ...] = (
    Place("context", _samples(DATA + PEOPLE, SECRETS), _by_auth(InContext)),
    Place("an object that stays", _samples((int, str, _long)), _by_auth(InKept)),
    Place("an SQL argument", ARGUMENTS, _by_auth(InArguments)),
    Place("a prefetch's queryset", NUMBERS, _by_auth(InPrefetch)),
    Place("a prefetch inside a prefetch", NUMBERS, _by_auth(InNestedPrefetch)),
    Place("a prefetch's to_attr", NUMBERS, _by_auth(InToAttr)),
    Place("a serializer's closure", _samples((), (int, _long)), _by_auth(MadeAnew)),
    Place("a serializer's declaration", _samples((), (int,)), _by_auth(OfAttribute)),
    Place("a queryset's state", _samples(DATA + PEOPLE, SECRETS), _by_auth(InQuerySet)),
    Place("a related manager's instance", NUMBERS, _by_auth(InKnownRelated)),
    Place("an output field", NUMBERS, _by_auth(InOutputField)),
    Place("an expression", _samples((), (int, LookAlike)), _by_auth(InExpression)),
    Place("a slice", NUMBERS, _by_auth(OfLimit)),
    Place("params", _samples((int, str)), lambda value: InParams(params={"key": value})),
    *(Place(name, NUMBERS, _by_auth(kind)) for name, kind in NARROWED.items()),
)
