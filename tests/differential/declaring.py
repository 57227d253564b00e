"""Bindings as they are generated: source text, made from pieces of the menu."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.differential.columns import columns
from tests.differential.known import KNOWN
from tests.differential.menu import MENUS, ORDER_KINDS
from tests.differential.pieces import Menu, Piece

PRELUDE = """
import datetime, uuid
from decimal import Decimal, getcontext
from django.db import connection, transaction
from django.db.models import *
from django.db.models.expressions import RawSQL
from django.db.models.functions import *
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.timezone import localtime
from rest_framework.serializers import *
from datetime import timedelta
from bindserver import Binding
from tests.differential.models import *
from tests.differential.typed import *

def one_each(queryset, name):
    queryset = queryset.order_by(name, "pk")
    return queryset.distinct(name) if connection.vendor == "postgresql" else queryset

class ShelfRow(ModelSerializer):
    class Meta:
        model = Shelf
        fields = ["id", "name", "rank"]

class TagRow(ModelSerializer):
    class Meta:
        model = Tag
        fields = ["label", "weight"]

class EntryRow(ModelSerializer):
    class Meta:
        model = Entry
        fields = ["quantity"]

class ChildRow(ModelSerializer):
    shelf = ShelfRow()
    class Meta:
        model = Item
        fields = ["name", "score", "shelf"]

class HalfRow(Serializer):
    who = CharField(source="pk")
    text = SerializerMethodField()
    def get_text(self, row): return str(row)[:3]

class KeepingRow(ModelSerializer):
    kept = SerializerMethodField()
    @cached_property
    def tags_now(self): return Tag.objects.count()
    def get_kept(self, row): return self.tags_now
    class Meta:
        model = Item
        fields = ["name", "kept"]

class Reversed(ListSerializer):
    def to_representation(self, data):
        return super().to_representation(data)[::-1]
"""
PERCENT = 100
SLOTS_PERCENT = 25
"""How many of a hundred bindings depend on who asks, if they have anything that can."""
ASKED = "asked"
"""What stands in a source for what is asked for."""
TIMES_PERCENT = 10
"""How many of a hundred depend on the present time, of those that can."""
COLUMNS_PERCENT = 12
"""How many of a hundred bindings have rows that are no instances."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One generated binding.

    Attributes:
        source: its source: `Bound`, and `plain()`, which returns what DRF is asked for.
        kinds: what it is about.
        refused: whether it must be refused, and if not so, equal.
        asked: the source of each value by which it is followed at the same time, for one that
            depends on who asks.
    """

    source: str
    kinds: frozenset[str]
    refused: bool = False
    asked: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A short name, equal for equal sources."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:10]


class Draw:
    """Draws pieces, and fills in what they leave open."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.kinds: set[str] = set()
        self.asks = self.narrows = False
        self.asked: tuple[str, ...] = ()
        self._gap = ""

    def number(self, most: int, least: int = 0) -> int:
        return self._random.randint(least, most)

    def chance(self, percent: int) -> bool:
        return self.number(PERCENT - 1) >= PERCENT - percent

    def one(self, pieces: Sequence[Piece]) -> Piece:
        """Return a piece that is not known to differ, with its gaps filled."""
        fit = [piece for piece in pieces if not piece.kinds & KNOWN.keys()]
        piece = fit[self.number(len(fit) - 1)]
        self.kinds |= piece.kinds
        return Piece(self.filled(piece.text), piece.kinds, piece.field, piece.renders)

    def some(self, pieces: Sequence[Piece], most: int) -> list[Piece]:
        return [self.one(pieces) for _ in range(self.number(most))] if pieces else []

    def names(self, names: Sequence[str], most: int) -> list[str]:
        picked = [names[self.number(len(names) - 1)] for _ in range(self.number(most))]
        return list(dict.fromkeys(picked))

    def filled(self, text: str) -> str:
        for gap, values in GAPS.items():
            while gap in text:
                text = text.replace(gap, self._value(gap, values), 1)
        return text

    def _value(self, gap: str, values: tuple[str, ...]) -> str:
        """Return what a gap is filled with: a value, or, if it is open yet, what is asked for."""
        if self.asks and self._gap in ("", gap) and self.chance(85):
            self._gap = gap
            self.asked = tuple(dict.fromkeys(values))
            self.kinds.add("slot")
            return ASKED
        return values[self.number(len(values) - 1)]


GAPS = {
    "{n}": ("1", "0", "2", "3", "4"),
    "{k}": ("1", "2", "3"),
    "{t}": ("'a'", "'b'", "'c'"),
    "{s}": ("'a'", "'B'", "'c'"),
    "{c}": ("'a'", "'A'", "'b'", "'a '"),
    "{h}": ("'x'", "'y'", "'X'"),
}


ENDS_IN_ORDER = re.compile(r"\)\.order_by\(([^()]*)\)$")
"""A step that puts rows in an order of its own, and names it."""


def declaration(random: Random) -> Declared:
    """Return a binding."""
    draw = Draw(random)
    draw.asks = draw.chance(SLOTS_PERCENT)
    if draw.chance(COLUMNS_PERCENT):
        source = "\n".join(columns(draw)) + "\n"
        return Declared(source, frozenset(draw.kinds), asked=draw.asked)
    return _Declaring(draw).declared()


class _Declaring:
    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        fit = [menu for menu in MENUS if menu.slots] if draw.asks and draw.chance(70) else MENUS
        self._menu: Menu = fit[draw.number(len(fit) - 1)]
        self._values: list[Piece] = []
        self._refused = False

    def declared(self) -> Declared:
        draw, menu = self._draw, self._menu
        queryset, bare = self._queryset()
        ordering = self._order() if bare and draw.chance(50) else None
        filtered = bare and draw.chance(40)
        filters = menu.filters[draw.number(len(menu.filters) - 1)] if filtered else ""
        filters = draw.filled(filters)
        draw.asks = False
        limit = draw.number(5, 1) if draw.chance(25) else None
        offset = draw.number(4) if limit and draw.chance(30) else 0
        lines = [*self._serializer(), "class Bound(Binding):", f"    model = {menu.model}"]
        lines += self._served
        if filtered:
            lines += ["    def filters(self):", *self._asking(), f"        return {{{filters}}}"]
        if ordering is not None:
            lines.append(f"    ordering = {_listed(ordering)}")
        if limit and not offset:
            lines.append(f"    limit = {limit}")
        zone = ZONED if draw.chance(60 if "zoned" in draw.kinds else 4) else []
        lines += ["    def get_queryset(self):", *zone, *self._asking()]
        lines.append(f"        return {queryset}")
        if offset:
            lines += ["    def get_window(self):", f"        return {limit}, {offset}"]
        lines += ["    def get_serializer_context(self):", "        return {'scale': 3}"]
        plain = f"{queryset}.filter(**{{{filters}}})" if filtered else queryset
        if bare:
            plain = self._ordered(plain, ordering, self._own)
        if limit:
            plain += f"[{offset}:{offset + limit}]"
            draw.kinds.add("limit")
        lines += ["def plain(asked=None):", *[line[4:] for line in zone], f"    return {plain}"]
        source, kinds = "\n".join(lines) + "\n", frozenset(draw.kinds)
        return Declared(source, kinds, self._refused, draw.asked)

    def _asking(self) -> list[str]:
        """Return what a method begins with that depends on who asks."""
        if not self._draw.asked:
            return []
        usual = self._draw.asked[0]
        return [f"        asked = {usual} if self.auth is None else self.auth"]

    # The query.

    def _queryset(self) -> tuple[str, bool]:
        """Return a queryset, and whether it can be filtered and ordered further."""
        draw, menu = self._draw, self._menu
        text = draw.one(menu.bases).text if menu.bases else menu.base().text
        steps = self._steps()
        values = {piece.field: piece for piece in draw.some(menu.values, 1 if draw.asks else 2)}
        self._values = list(values.values())
        # Django takes no slice after which something is filtered, and orders before `distinct`.
        at = draw.number(len(steps))
        steps[at:at] = [f".annotate({name}={piece.text})" for name, piece in values.items()]
        text += "".join(steps)
        self._own: list[str] | None = None
        for step in steps:
            if ends := ENDS_IN_ORDER.search(step):
                self._own = [name.strip(" '") for name in ends[1].split(",")]
        if draw.chance(40):
            self._own = self._order()
            text += f".order_by(*{_listed(self._own)})"
        named = [name for name in self._order() if name.replace("-", "").isidentifier()]
        if named and draw.chance(5):
            draw.kinds.add("extra_order")
            self._own = named
            text += f".extra(order_by={named})"
        if draw.chance(10) and "reverse" not in KNOWN:
            draw.kinds.add("reverse")
            self._own = [*(self._own or menu.usual), "pk"]
            text += f".order_by(*{_listed(self._own)}).reverse()"
        whole = draw.number(PERCENT - 1)
        if whole >= 92:
            draw.kinds.add("slice")
            least = draw.number(2)
            text = self._ordered(text, None, self._own)
            return f"{text}[{least}:{least + draw.number(5, 1)}]", False
        if whole >= 86 and not self._values and not draw.kinds & {"own_fetch", "reverse"}:
            return self._union(text), False
        if 80 <= whole < 84 and not self._values and not draw.kinds & {"own_fetch", "reverse"}:
            draw.kinds.add("one_each")
            return f"one_each({text}, {menu.filters[0].split(chr(39))[1].split('__')[0]!r})", False
        if whole == 79:
            self._refused = True
            return f"{text}.values_list()", True
        return text, True

    def _steps(self) -> list[str]:
        draw, menu = self._draw, self._menu
        slots = [draw.one(menu.slots).text] if draw.asks and menu.slots else []
        steps = [piece.text for piece in draw.some(menu.steps, draw.number(1 if slots else 3))]
        steps = [*slots, *steps]
        if menu.times and draw.chance(TIMES_PERCENT):
            steps.append(draw.one(menu.times).text)
        return steps

    def _union(self, text: str) -> str:
        draw = self._draw
        draw.kinds.add("union")
        how = ("union", "union", "intersection", "difference")[draw.number(3)]
        repeated = ", all=True" if how == "union" and draw.chance(30) else ""
        narrow = [piece for piece in self._menu.steps if piece.text.startswith(".filter(")]
        model = self._menu.model
        one = f"{model}.objects.all(){draw.one(narrow).text}.order_by()"
        other = f"{model}.objects.all(){draw.one(narrow).text}.order_by()"
        self._own = None
        key = KEYS.get(model, "id")
        return f"{one}.{how}({other}{repeated}).order_by({key!r})"

    def _order(self) -> list[str]:
        draw, found = self._draw, []
        orders = [name for name in self._menu.orders if ORDER_KINDS.get(name) not in KNOWN]
        for name in draw.names(orders, 2):
            draw.kinds.update({ORDER_KINDS[name]} if name in ORDER_KINDS else ())
            draw.kinds.update({"zoned"} if "'moment'" in name else ())
            falls = not name.startswith("@") and draw.chance(40)
            found.append(f"-{name}" if falls else name)
        return found

    def _ordered(self, text: str, ordering: list[str] | None, own: list[str] | None) -> str:
        """Return the text of a queryset in a binding's order: its own, else the query's or the
        model's, and the key last."""
        items = ordering if ordering is not None else (own or list(self._menu.usual))
        if not {item.lstrip("-") for item in items} & self._menu.key:
            items = [*items, "pk"]
        return f"{text}.order_by(*{_listed(items)})"

    # The serializer.

    def _serializer(self) -> list[str]:
        draw, menu = self._draw, self._menu
        fields = draw.names(menu.fields, 6)
        key = ["pk"] if draw.chance(10) and menu.model == "Nobody" else ["id"]
        if menu.key & {"id"} or menu.id:
            fields = [*(key if draw.chance(70) else []), *fields]
        fields = list(dict.fromkeys(fields)) or [menu.fields[0]]
        columns = [name for name in fields if name not in NO_COLUMNS]
        if columns and not self._values and draw.chance(35):
            self._served = [f"    fields = {columns}"]
            return []
        lines = ["class Row(ModelSerializer):"]
        declared = {piece.field: piece for piece in draw.some(menu.declared, 3)}
        for piece in declared.values():
            lines.append(f"    {piece.field} = {piece.text}")
        for piece in self._values:
            declared[piece.field] = piece
            lines.append(f"    {piece.field} = {piece.renders}")
        fields = list(dict.fromkeys([*fields, *declared]))
        self._refused |= menu.model == "Wide" and {"id", "pk"} <= declared.keys()  # no name is left
        lines += ["    class Meta:", f"        model = {menu.model}", f"        fields = {fields}"]
        if draw.chance(4):
            lines.append("        list_serializer_class = Reversed")
            self._refused = True
        if draw.chance(16):
            lines += REPRESENTED[draw.number(len(REPRESENTED) - 1)]
        self._served = ["    serializer_class = Row"]
        return lines


ZONED = ["        timezone.activate('Asia/Tokyo')", "        translation.activate('de')"]
"""What a binding may set for its rows."""

KEYS = {
    "Tag": "label",
    "Seat": "item_id",
    "Ticket": "uid",
    "Dated": "day",
    "Cased": "key",
    "Priced": "price",
    "Timed": "at",
    "Spanned": "took",
    "Stamped": "seen",
}
"""What the keys of models are called that do not call theirs `id`."""

NO_COLUMNS = frozenset(
    {
        *("title", "voice", "spoken", "entries", "children", "seat", "tickets"),
        *("leaves", "held", "due"),
    }
)
"""What a binding's `fields` cannot name."""


def _listed(items: Sequence[str]) -> str:
    """Return the source of an order: of names, and of expressions after `@`."""
    found = [item[1:] if item.startswith("@") else repr(item) for item in items]
    return f"[{', '.join(found)}]"


REPRESENTED = (
    [
        "    def to_representation(self, row):",
        "        data = super().to_representation(row)",
        "        data['key_of'] = str(row.pk)",
        "        return data",
    ],
    [
        "    def to_representation(self, row):",
        "        return {'row': super().to_representation(row)}",
    ],
    [
        "    def to_representation(self, row):",
        "        translation.activate('de' if row.pk in (1, '1') else 'fr')",
        "        return super().to_representation(row)",
    ],
    [
        "    def to_representation(self, row):",
        "        data = super().to_representation(row)",
        "        data['month'] = date_format(datetime.date(2024, 3, 1), 'F')",
        "        if str(row.pk)[-1] in '12a': translation.activate('de')",
        "        return data",
    ],
    [
        "    def get_fields(self):",
        "        fields = super().get_fields()",
        "        return dict(reversed(fields.items()))",
    ],
)
