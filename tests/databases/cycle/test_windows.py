"""A view with a limit holds what its SELECT gives, and reads no more than what is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Lower
from rest_framework import serializers

from bindserver import Binding
from bindserver.cycle.inbox import ReadRequest
from bindserver.cycle.live_view import ViewState
from bindserver.engine.window import Window
from bindserver.exceptions import InvalidParams
from bindserver.queries import windows
from bindserver.queries.query import Query
from bindserver.queries.windows import AHEAD, Cut
from tests.app.models import Category, Product, Tag
from tests.support.turning import Follower, Turning, add


class ByInstance(serializers.ModelSerializer[Product]):
    """Needs a row's instance."""

    said = serializers.SerializerMethodField()

    def get_said(self, row: Product) -> str:
        return f"{row.name} of {row.category}" if row.category_id == 1 else row.name

    class Meta:
        model = Product
        fields = ["id", "name", "stock", "said"]


def bound(**declared: Any) -> type[Binding[Any]]:
    attributes = {"model": Product, "fields": ["id", "name", "stock"], "event": "window"}
    if "serializer_class" in declared:
        del attributes["fields"]
    return type("Window", (Binding,), attributes | declared)


KINDS: dict[str, dict[str, Any]] = {
    "numbers": {"ordering": ["stock"]},
    "numbers falling": {"ordering": ["-stock", "-id"]},
    "text": {"ordering": ["name"]},
    "text falling": {"ordering": ["-name"]},
    "nulls": {"ordering": ["-sku", "category_id"]},
    "an expression": {"ordering": [Lower("name").desc(), "stock"]},
    "the other's text": {"ordering": ["category__name", "-stock"]},
    "the key": {},
    "filtered": {"ordering": ["-stock"], "filters": {"category": 1}},
    "filtered by the other": {"ordering": ["-name"], "filters": {"category__name__gt": "c"}},
    "distinct": {
        "ordering": ["stock"],
        "queryset": Product.objects.filter(tags__name__in=["a", "b"]).distinct(),
    },
    "joined": {"ordering": ["stock"], "queryset": Product.objects.filter(tags__name__in="ab")},
    "counted": {
        "ordering": ["name"],
        "queryset": Product.objects.annotate(n=Count("tags")).filter(n__lt=2),
    },
    "by instances": {"ordering": ["stock"], "serializer_class": ByInstance},
    "by instances and text": {"ordering": ["-name"], "serializer_class": ByInstance},
    "prefetched": {
        "ordering": ["-stock"],
        "queryset": Product.objects.select_related("category").prefetch_related("tags"),
        "serializer_class": ByInstance,
    },
}


def expected(binding: Binding[Any]) -> list[dict[str, Any]]:
    """Return what DRF answers, each row once."""
    queryset: QuerySet[Any] = binding.get_queryset().filter(**dict(binding.conditions("filters")))
    ordering: list[Any] = list(binding.ordering or [])
    if not {"id", "-id"} & {item for item in ordering if isinstance(item, str)}:
        ordering.append("pk")
    limit, offset = binding.get_window()
    rows = list(queryset.order_by(*ordering)[offset : offset + (limit or 0)])
    data = binding.get_serializer_class()(rows, many=True).data
    return list({row["id"]: dict(row) for row in data}.values())


def of_the_same_rows() -> Iterator[tuple[str, Binding[Any]]]:
    """Yield bindings that differ in nothing but which rows they show."""
    for name in ("numbers", "text", "nulls", "filtered", "by instances", "by instances and text"):
        several = paged(**KINDS[name])
        for limit, offset in ((3, 0), (5, 2), (4, 30), (5, 31), (90, 0)):
            params = {"limit": limit, "offset": offset}
            yield f"{name}, {limit} of several from {offset}", several(params=params)


class Writes:
    """Random writes, one after the other."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._tags = [Tag.objects.create(name=name) for name in "abc"]

    def take(self) -> None:
        chance = self._chance
        pks = list(Product.objects.order_by("pk").values_list("pk", flat=True))
        some = chance.sample(pks, min(len(pks), chance.choice([1, 1, 1, 2, 4])))
        rows = Product.objects.filter(pk__in=some)
        kind = chance.randrange(9)
        if kind < 3 or not pks:
            add(max(pks, default=0) + 1, chance.choice([1, 2, 3, None]), **self._values())
        elif kind == 3:
            rows.delete()
        elif kind == 4:
            for row in rows:
                row.tags.set(chance.sample(self._tags, chance.randrange(3)))
        elif kind == 5:
            Category.objects.filter(pk=chance.randrange(1, 4)).update(name=chance.choice("abcde"))
        elif kind == 6 and chance.random() < 0.2:
            rows = Product.objects.filter(pk__lt=chance.choice(pks))
            rows.delete()
        else:
            rows.update(category=chance.choice([1, 2, 3, None]), **self._values(unique=False))

    def _values(self, *, unique: bool = True) -> dict[str, Any]:
        chance = self._chance
        values: dict[str, Any] = {
            "name": "".join(chance.choice("aAbBäc ") for _ in range(chance.randrange(4))),
            "stock": chance.randrange(6),
        }
        if unique:
            values["sku"] = chance.choice([None, f"s{chance.randrange(10**9)}"])
        return values


@pytest.mark.parametrize("seed", range(2))
def test_windows_hold_what_their_selects_give(
    turning: Turning, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    if seed:
        monkeypatch.setattr(windows, "AHEAD", 2)
        monkeypatch.setattr(windows, "BEHIND", 1)
    chance = Random(seed)
    for number in range(100, 160):
        add(number, number % 4 or None, name=f"{'aB'[number % 2]}{number % 7}", stock=number % 5)
    followed: list[tuple[str, Binding[Any], Follower]] = []
    for name, declared in KINDS.items():
        for limit, offset in ((3, 0), (5, 2), (4, 30), (100, 0)):
            window = (limit, offset)
            kind = bound(**declared, limit=limit, get_window=lambda _, window=window: window)
            followed.append((f"{name} {window}", kind(), turning.follow(kind())))
    followed += [(words, one, turning.follow(one)) for words, one in of_the_same_rows()]
    for number in (1, 2, 3):  # of one shape
        one = of_category()(params={"category": number})
        followed.append((f"category {number}", one, turning.follow(one)))
    writes = Writes(seed)
    for at in range(15):
        turning.turn()
        for name, binding, follower in followed:
            rows = [dict(row) for row in follower.replica.rows]
            assert rows == expected(binding), (name, at)
            assert not {"stale", "error"} & set(follower.told()), (name, at)
        for _ in range(chance.choice([1, 1, 3])):
            writes.take()


def of_category(**declared: Any) -> type[Binding[Any]]:
    """Return the last three of a category."""

    class OfCategory(Binding[Product]):
        model = Product
        event = "last_of_category"
        fields = ["id", "stock"]
        ordering = ["-stock"]
        limit = 3
        params = {"category": int}

        def filters(self) -> dict[str, Any]:
            return {"category": self.params["category"]}

    for name, value in declared.items():
        setattr(OfCategory, name, value)
    return OfCategory


def paged(**declared: Any) -> type[Binding[Any]]:
    """Return rows of which whoever subscribes chooses some."""
    numbers = {name: serializers.IntegerField() for name in ("limit", "offset")}
    return bound(params=numbers, **declared)


def fill(rows: int = 60) -> None:
    """Give each of three categories many products, whose stock is their key."""
    Product.objects.bulk_create(
        Product(pk=key, name=f"z{key}", stock=key, category_id=key % 3 + 1)
        for key in range(1000, 1000 + 3 * rows)
    )


SORTS: dict[str, dict[str, Any]] = {
    "numbers": {"ordering": ["-stock"]},
    "text": {"ordering": ["-name"], "fields": ["id", "name", "stock"]},
}


class TestStatements:
    def test_a_row_outside_is_read_and_no_window_is(self, turning: Turning) -> None:
        fill()
        kind = of_category()
        followers = [turning.follow(kind(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        assert len(turning.statements) == 3
        assert [f.told() for f in followers] == [["sync"]] * 3
        Product.objects.filter(pk=1000).update(stock=7)
        turning.turn()
        assert len(turning.statements) == 1
        assert [f.told() for f in followers] == [[]] * 3

    def test_a_row_that_enters_is_read_with_the_others(self, turning: Turning) -> None:
        fill()
        kind = of_category()
        followers = [turning.follow(kind(params={"category": n})) for n in (1, 2, 3)]
        turning.turn()
        Product.objects.filter(pk=1000).update(stock=5000)
        turning.turn()
        assert len(turning.statements) == 1
        assert followers[1].column("id") == [1000, 1177, 1174]

    @pytest.mark.parametrize("sort", SORTS)
    def test_a_delete_inside_fills_up_without_a_read(self, turning: Turning, sort: str) -> None:
        fill()
        follower = turning.follow(bound(limit=5, **SORTS[sort])())
        turning.turn()
        for key in range(1179, 1179 - AHEAD, -1):
            Product.objects.filter(pk=key).delete()
            turning.turn()
            assert len(turning.statements) == 1  # whether the row is there
            assert follower.column("id") == list(range(key - 1, key - 6, -1))
        Product.objects.filter(pk=1179 - AHEAD).delete()
        turning.turn()
        assert len(turning.statements) == 2  # the look-ahead has run out
        assert follower.column("id") == list(range(1178 - AHEAD, 1173 - AHEAD, -1))

    def test_many_windows_of_one_shape_are_read_by_what_changed(self, turning: Turning) -> None:
        for number in range(10, 210):
            Category.objects.create(pk=number, name="c")
        Product.objects.bulk_create(
            Product(pk=10_000 + key, name="n", stock=key, category_id=key % 200 + 10)
            for key in range(1000)
        )
        kind = of_category()
        followers = {n: turning.follow(kind(params={"category": n})) for n in range(10, 210)}
        turning.turn()
        Product.objects.filter(pk=10_005).update(stock=9000, category=17)
        Product.objects.filter(pk=10_806).delete()
        turning.turn()
        assert len(turning.statements) == 1
        assert followers[15].column("id") == [10_805, 10_605, 10_405]
        assert followers[16].column("id") == [10_606, 10_406, 10_206]
        assert followers[17].column("id") == [10_005, 10_807, 10_607]

    def test_by_text_one_question_tells_whether_a_row_enters(self, turning: Turning) -> None:
        fill()
        follower = turning.follow(bound(limit=5, **SORTS["text"])())
        turning.turn()
        Product.objects.filter(pk=1000).update(name="a")
        turning.turn()
        assert len(turning.statements) == 2
        Product.objects.filter(pk=1000).update(name="z11785")
        turning.turn()
        assert len(turning.statements) == 2
        assert follower.column("id") == [1179, 1000, 1178, 1177, 1176]

    @pytest.mark.parametrize("sort", SORTS)
    def test_windows_of_the_same_rows_are_told_together(self, turning: Turning, sort: str) -> None:
        fill()
        kind = paged(**SORTS[sort])
        followers = [turning.follow(kind(params={"offset": 5 * n, "limit": 5})) for n in range(10)]
        turning.turn()
        assert len({live.shape for live in turning.views()}) == 1
        one = 1 if sort == "numbers" else 2  # where the database knows the order, it is asked
        Product.objects.filter(pk=1000).update(stock=7, name="z10000")
        turning.turn()
        assert len(turning.statements) == one
        assert [f.told() for f in followers] == [["sync"]] * 10
        Product.objects.filter(pk=1179).update(stock=-1, name="a")
        turning.turn()
        assert len(turning.statements) == one
        pks = list(range(1178, 1128, -1))
        assert [pk for f in followers for pk in f.column("id")] == pks
        Product.objects.filter(pk=1150).delete()
        turning.turn()
        assert len(turning.statements) == 1
        pks = [pk for pk in range(1178, 1127, -1) if pk != 1150]
        assert [pk for f in followers for pk in f.column("id")] == pks

    def test_a_window_that_leaves_takes_nothing_from_the_others(self, turning: Turning) -> None:
        fill()
        kind = paged(**SORTS["numbers"])
        followers = [turning.follow(kind(params={"offset": n, "limit": 5})) for n in range(4)]
        turning.turn()
        turning.turn()
        wide = next(live for live in turning.views() if live.query.window == Cut(3, 5, chosen=True))
        turning.store.routing.dismount(wide)
        for pk in (1179, 1178):
            Product.objects.filter(pk=pk).delete()
            turning.turn()
        assert [f.column("id")[0] for f in followers] == [1177, 1176, 1175, 1174]

    def test_a_delete_before_an_offset_shifts_the_window(self, turning: Turning) -> None:
        fill()
        kind = bound(ordering=["-stock"], get_window=lambda _: (5, 60))
        follower = turning.follow(kind())
        turning.turn()
        assert follower.column("id") == list(range(1119, 1114, -1))
        Product.objects.filter(pk__in=(1179, 1150)).delete()
        turning.turn()
        assert len(turning.statements) == 1
        assert follower.column("id") == list(range(1117, 1112, -1))
        add(5000, stock=5000)
        turning.turn()
        assert len(turning.statements) == 1  # some rows before the window are there too
        assert follower.column("id") == list(range(1118, 1113, -1))


class TestRowsThatAreNotShown:
    def test_may_fail(self, turning: Turning) -> None:
        """As they may where a list is cut before it is rendered."""

        class Fragile(serializers.ModelSerializer[Product]):
            def to_representation(self, row: Product) -> dict[str, Any]:
                if row.name == "bad":
                    raise ValueError(row.name)
                return super().to_representation(row)

            class Meta:
                model = Product
                fields = ["id", "stock"]

        fill()
        Product.objects.filter(pk=1170).update(name="bad")
        kind = bound(ordering=["-stock"], limit=5, serializer_class=Fragile)
        follower = turning.follow(kind())
        turning.turn()
        assert follower.column("id") == list(range(1179, 1174, -1))
        Product.objects.filter(pk=1000).update(name="bad")
        Product.objects.filter(pk=1177).delete()
        turning.turn()
        assert follower.column("id") == [1179, 1178, 1176, 1175, 1174]
        assert "stale" not in follower.told()
        Product.objects.filter(pk=1000).update(stock=9000)
        turning.turn()
        assert "stale" in follower.told()
        Product.objects.filter(pk=1000).update(name="good")
        turning.views()[0].retry_at = 0
        turning.turn()
        assert follower.column("id") == [1000, 1179, 1178, 1176, 1175]

    def test_are_held_for_python_too(self, turning: Turning) -> None:
        fill()
        instance = bound(ordering=["-stock"], limit=3)()
        for write in (
            lambda: None,
            lambda: Product.objects.filter(pk=1178).delete(),
            lambda: Product.objects.filter(pk=1001).update(stock=1178, name="new"),
        ):
            write()
            request = ReadRequest(instance=instance)
            turning.ask(request)
            turning.turn()
            found = request.answer.result(timeout=0)
            rows = Product.objects.order_by("-stock", "pk")[:3]
            assert [(one.pk, one.name) for one in found] == [(one.pk, one.name) for one in rows]
        assert {live.state for live in turning.views()} == {ViewState.READY}


CHOICES: dict[str, Callable[[], Any]] = {
    "limit": lambda: serializers.IntegerField(default=3, max_value=50),
    "offset": lambda: serializers.IntegerField(default=0),
}


class TestParams:
    def test_choose_the_window(self, turning: Turning) -> None:
        fill()
        kind = bound(
            ordering=[F("stock").desc()], params={n: make() for n, make in CHOICES.items()}
        )
        pages = [turning.follow(kind(params={"offset": 3 * n})) for n in range(4)]
        wide = turning.follow(kind(params={"limit": 5}))
        turning.turn()
        Product.objects.filter(pk=1178).delete()
        turning.turn()
        rest = [key for key in range(1179, 1000, -1) if key != 1178]
        for number, page in enumerate(pages):
            assert page.column("id") == rest[3 * number : 3 * number + 3]
        assert wide.column("id") == rest[:5]

    @pytest.mark.parametrize(
        "params", [{"limit": 0}, {"limit": 51}, {"offset": -1}, {"offset": 10**9}]
    )
    def test_that_are_no_window_are_refused(self, turning: Turning, params: dict[str, int]) -> None:
        kind = bound(ordering=["-stock"], params={n: make() for n, make in CHOICES.items()})
        with pytest.raises(InvalidParams):
            Query(kind(params=params))


def test_an_edge_that_is_another_window_s_is_found_out(
    turning: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault: all windows of the same rows go by the first one's last row."""
    fill()
    kind = paged(ordering=["-stock"])
    bindings = [kind(params={"limit": 5, "offset": start}) for start in (0, 60)]
    followers = [turning.follow(binding) for binding in bindings]
    turning.turn()
    held = {live.query.window: live.rows.held for live in turning.views()}
    first = next(one for cut, one in held.items() if cut is not None and cut.start == 0)
    assert first is not None
    honest = Window.stays_outside

    def by_the_first(self: Window[Any], keys: Any, fresh: Any) -> bool:
        return honest(first.window, keys, fresh)

    for planted in (False, True):
        if planted:
            monkeypatch.setattr(Window, "stays_outside", by_the_first)
        Product.objects.filter(pk=1000 + planted).update(stock=1117)
        turning.turn()
        rows = [dict(row) for row in followers[1].replica.rows]
        assert (rows == expected(bindings[1])) is not planted
