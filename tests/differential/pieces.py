"""What menus are made of: pieces of source text, and what there is of them for one model."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of source text.

    Attributes:
        text: the text.
        kinds: what it is about, by the names in `known.py`.
        field: for an annotation or a declared field, the name that it gives rows.
        renders: for an annotation, the serializer's field for it.
    """

    text: str
    kinds: frozenset[str] = frozenset()
    field: str = ""
    renders: str = ""


def step(text: str, *kinds: str) -> Piece:
    return Piece(text, frozenset(kinds))


def value(name: str, text: str, renders: str, *kinds: str) -> Piece:
    return Piece(text, frozenset(kinds), name, renders)


def declared(name: str, text: str, *kinds: str) -> Piece:
    return Piece(text, frozenset(kinds), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """What there is for one model.

    Attributes:
        model: its name.
        bases: the querysets to begin with.
        steps: what narrows and shapes them.
        times: what narrows them by the present time.
        slots: what narrows them by who asks, so that many may be read together.
        values: annotations.
        filters: what a binding's `filters` may say.
        orders: columns and paths to order by; after `@`, an expression.
        usual: the model's own ordering.
        fields: names of its fields that a serializer can be given.
        declared: serializer fields with arguments of their own, or methods.
        key: names that say the key in an order.
        id: whether rows may be given `id`, though it is not the key's name.
    """

    model: str
    bases: tuple[Piece, ...] = ()
    steps: tuple[Piece, ...] = ()
    times: tuple[Piece, ...] = ()
    slots: tuple[Piece, ...] = ()
    values: tuple[Piece, ...] = ()
    filters: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    declared: tuple[Piece, ...] = ()
    key: frozenset[str] = field(default_factory=lambda: frozenset({"pk", "id"}))
    id: bool = False

    def base(self) -> Piece:
        return Piece(f"{self.model}.objects.all()")
