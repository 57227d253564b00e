"""Bindings whose rows are no instances: groups, dicts, unions of these, and one row of sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.differential.declaring import Draw

GROUPS = (
    "shelf",
    "active",
    "size",
    "score",
    "day",
    "amount",
    "shelf__rank",
    "shelf__name",
    "parent__shelf",
    "parent__active",
    "low=Lower('name')",
    "month=TruncMonth('day')",
    "much=Case(When(score__gt={n}, then=Value('much')), default=Value('few'))",
)
"""What rows are grouped by, or selected."""

SUMS = {
    "n": "Count('pk')",
    "total": "Sum('score')",
    "most": "Max('amount')",
    "first": "Min('moment')",
    "mean": "Avg('score')",
    "tagged": "Count('tags', distinct=True)",
    "sold": "Sum('entries__quantity')",
    "some": "Count('pk', filter=Q(score__gt={n}))",
    "worth": "Sum('amount', default=Decimal(0))",
}
NARROWING = ("'score': {n}", "'shelf': {k}", "'shelf__rank': {n}", "'score__gte': {n}")
"""What rows may be narrowed by, by who asks."""
MANY = ("tags__label", "entries__quantity", "children__score", "tags__weight")
STEPS = (
    ".filter(score__gt={n})",
    ".exclude(score={n})",
    ".filter(active=True)",
    ".filter(shelf__rank__gte={n})",
    ".exclude(entries__quantity={n})",
    ".filter(Q(shelf={k}) | Q(score__lt={n}))",
    ".filter(Exists(Entry.objects.filter(item=OuterRef('pk'), quantity__gt={n})))",
    ".none()",
)
REPEATING = (*STEPS, ".filter(tags__weight__gte={n})", ".filter(entries__quantity__gt={n})")
"""Steps after which rows may come several times, which groups and sums count."""


def columns(draw: Draw) -> list[str]:
    """Return the lines of a binding, and of what DRF is asked for in its place."""
    draw.kinds.add("columns")
    draw.narrows, draw.asks = draw.asks, False  # but for what is filtered at last
    make = MAKE[draw.number(len(MAKE) - 1)]
    steps = "".join(_some(draw, STEPS if make in (_dicts, _many, _union) else REPEATING, 2))
    return make(draw, f"Item.objects.all(){steps}")


def _groups(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("groups")
    by, sums = _selected(draw), _sums(draw)
    text = f"{base}.values({', '.join(by)}).annotate({', '.join(sums)})"
    numbers = [name for name in _names(sums) if name != "first"]
    if numbers and draw.chance(30):
        text += draw.filled(f".filter({numbers[0]}__gt={{n}})")
    return _declared(draw, text, [*_names(by), *_names(sums)], _names(by))


def _dicts(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("dicts")
    by = _selected(draw)
    if draw.chance(40):
        by = ["'pk'", *by]
    elif draw.chance(20):
        sums = _sums(draw)
        texts, names = [item for item in by if "=" in item], _names(by)
        plain = [item for item in by if "=" not in item]
        text = f"{base}.annotate({', '.join([*texts, *sums])})"
        shown = [*plain, *[repr(name) for name in [*_names(texts), *_names(sums)]]]
        return _declared(
            draw, f"{text}.values({', '.join(shown)})", [*names, *_names(sums)], ["pk"]
        )
    return _declared(draw, f"{base}.values({', '.join(by)})", _names(by), ["pk"])


def _distinct(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("distinct_dicts")
    by = _selected(draw)
    return _declared(draw, f"{base}.values({', '.join(by)}).distinct()", _names(by), _names(by))


def _many(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("dicts_of_many")
    many = MANY[draw.number(len(MANY) - 1)]
    by = ["'pk'", repr(many), *_selected(draw)]
    text = f"{base}.values({', '.join(by)})"
    return _declared(draw, text, _names(by), ["pk", many], rendered=False)


def _union(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("union_of_dicts")
    by = [item for item in _selected(draw) if "=" not in item] or ["'score'"]
    how = ("union", "intersection", "difference")[draw.number(2)]
    base = base.replace(".none()", "")  # Django makes no union of nothing and something
    other = draw.filled("Item.objects.filter(score__gte={n})")
    shown = ", ".join(by)
    text = f"{base}.values({shown}).{how}({other}.values({shown}))"
    return _declared(draw, text, _names(by), _names(by), filtered=False)


def _one_row(draw: Draw, base: str) -> list[str]:
    draw.kinds.add("one_row")
    served, narrowed = _narrowed(draw)
    sums = ", ".join(_sums(draw))
    return [
        "class Bound(Binding):",
        f"    queryset = {base}",
        *served,
        f"    aggregate = dict({sums})",
        "def plain(asked=None):",
        f"    return [{base}{narrowed}.aggregate({sums})]",
    ]


def _declared(
    draw: Draw,
    text: str,
    names: list[str],
    last: list[str],
    *,
    rendered: bool = True,
    filtered: bool = True,
) -> list[str]:
    """Return the source of a binding that is ordered by some of its columns, and at last by what
    tells its rows apart."""
    order = [
        f"-{name}" if draw.chance(40) else name for name in draw.names(names, draw.number(1) * 2)
    ]
    order = [name for name in order if name.lstrip("-") != "pk" or last == ["pk"]]
    said = {name.lstrip("-") for name in order}
    whole = [*order, *[name for name in last if name not in said]]
    limit = draw.number(4, 1) if draw.chance(15) else None
    lines = []
    served = ["    event = 'generated'"]
    if rendered and draw.chance(40):
        shown = draw.names(names, 3) or names
        lines = ["class Row(Serializer):"]
        for at, name in enumerate(shown):
            lines.append(f"    f{at} = ReadOnlyField(source={name!r})")
        served.append("    serializer_class = Row")
    lines += ["class Bound(Binding):", *served, f"    queryset = {text}", f"    ordering = {order}"]
    lines += [f"    limit = {limit}"] if limit else []
    cut = f"[:{limit}]" if limit else ""
    more, narrowed = _narrowed(draw) if filtered else ([], "")
    lines += [*more, "def plain(asked=None):"]
    return [*lines, f"    return {text}{narrowed}.order_by(*{whole}){cut}"]


def _narrowed(draw: Draw) -> tuple[list[str], str]:
    """Return the lines of a binding that narrow its rows by what is asked for, and the step that
    does the same; nothing where nothing is."""
    draw.asks = draw.narrows
    text = draw.filled(NARROWING[draw.number(len(NARROWING) - 1)]) if draw.asks else ""
    draw.asks = False
    if not draw.asked:
        return [], ""
    lines = [
        "    def filters(self):",
        f"        asked = {draw.asked[0]} if self.auth is None else self.auth",
        f"        return {{{text}}}",
    ]
    return lines, f".filter(**{{{text}}})"


def _selected(draw: Draw) -> list[str]:
    by = draw.names(GROUPS, 3) or ["shelf"]
    found = [draw.filled(item) if "=" in item else repr(item) for item in by]
    return sorted(found, key=lambda item: "=" in item)  # as Python takes arguments


def _sums(draw: Draw) -> list[str]:
    names = draw.names(tuple(SUMS), 3) or ["n"]
    return [f"{name}={draw.filled(SUMS[name])}" for name in names]


def _names(items: list[str]) -> list[str]:
    return [item.split("=")[0].strip("'") for item in items]


def _some(draw: Draw, pieces: tuple[str, ...], most: int) -> list[str]:
    return [draw.filled(piece) for piece in draw.names(pieces, most)]


MAKE = (_groups, _groups, _groups, _dicts, _distinct, _many, _union, _one_row)
"""Kinds of bindings, some of them more often."""
