"""By what the rows of a query are rendered, and who that is."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.db.models import Model

from bindserver.bindings.binding import Binding
from bindserver.bindings.columns import PLAIN
from bindserver.bindings.serializers import held_in, serializer_of
from bindserver.queries.carried import instances_in
from bindserver.queries.code_paths import path_of
from bindserver.queries.depends_on import tables_behind
from bindserver.queries.evaluation import has_columns
from bindserver.queries.identity import IdentityEncoder, digest
from bindserver.queries.lifetimes import SerializerChoice
from bindserver.queries.plan import Plan
from bindserver.queries.rendering import ModelRenderer, Renderer
from bindserver.queries.rows import Form
from bindserver.queries.serializer_formats import (
    attributes_of,
    declared_in,
    serializer_identity,
)
from bindserver.queries.serializer_traits import is_own
from bindserver.user_code import NO_LEFTOVERS, Leftovers, Surroundings


@dataclass(slots=True, kw_only=True)
class Representation:
    """By what the rows of a query are rendered.

    Attributes:
        renderer: renders them.
        surroundings: the language and the time zone that the binding has set.
        told: what is equal where rows are rendered alike, as plain data.
        format: what they look like, as far as declarations tell.
        code: what the project's own classes of the serializer have as attributes now.
        declared: the fields that these classes declare now.
        serializer_class: the serializer's class.
        choice: asks the binding for a serializer again, which may remember what it has seen.
        instances: the model instances that it and the query carry along.
        says_all: whether there is nothing more to know of it.
        unshared: why it is like nothing else, in words; empty where all of it is known.
        family: equal, in this process, for queries of one shape whose rows are rendered alike.
        look: the same in every process, the format of rows with it.
    """

    renderer: Renderer | ModelRenderer
    surroundings: Surroundings
    told: list[Any]
    format: list[Any] = field(default_factory=list)
    code: list[Any] = field(default_factory=list)
    declared: list[Any] = field(default_factory=list)
    serializer_class: type[Any] | None = None
    choice: SerializerChoice | None = None
    instances: Sequence[Model] = ()
    says_all: bool = True
    unshared: tuple[str, ...] = ()
    family: str = ""
    look: str = ""

    def name(self, binding: Binding[Any], plan: Plan, refresh_seconds: float | None) -> None:
        """Note who it is together with a plan."""
        encoder, kind = IdentityEncoder(plan.alias), type(binding)
        around = encoder.encode(list(self.surroundings), "language and time zone")
        self.unshared = (*self.unshared, *encoder.unshared)
        read = [plan.told, plan.form.value, self.told, around]
        # An event leads to one class, in every process; in this one there may have been others.
        declared = [plan.max_rows, sorted(tables_behind(binding)), refresh_seconds]
        self.family = digest([IdentityEncoder().code(kind), declared, self.code, read])
        rows = [self.format, settings.LANGUAGE_CODE, settings.TIME_ZONE]
        self.look = digest([path_of(kind), rows, read])

    def twin(self) -> Representation:
        """Return the same for another query, whose rows leave nothing set for those of this one."""
        if self.renderer.leftovers is NO_LEFTOVERS:
            return self
        renderer, choice = copy.copy(self.renderer), copy.copy(self.choice)
        renderer.leftovers = Leftovers()
        return replace(self, renderer=renderer, choice=choice)


def representation_of(
    plan: Plan, binding: Binding[Any], pristine: Binding[Any], refresh_seconds: float | None
) -> Representation:
    """Return by what the rows of a binding's query are rendered.

    Args:
        plan: how they are read.
        binding: in the context of whoever asks for the query.
        pristine: the same binding, before anything was asked of it.
        refresh_seconds: after how long the query's rows are read whole.
    """
    usual, kind = is_usual(type(binding)), None
    if usual and plan.form is Form.JSON:
        kind = serializer_of(binding, given_columns(plan))
    known: Representation | None = plan.representations.get(kind) if usual else None
    if known is not None and _is_as_before(known):
        return known.twin()
    found = (
        _json(plan, binding, pristine)
        if plan.form is Form.JSON
        else Representation(
            renderer=plan.model_renderer(),
            surroundings=Surroundings.now(),  # as the binding has left them
            told=[],
            instances=plan.instances,
            says_all=plan.says_all,
        )
    )
    found.name(binding, plan, refresh_seconds)
    if usual and not found.unshared and _is_made_alike(found.renderer):
        plan.representations[kind] = found
    return found


def _is_made_alike(renderer: Renderer | ModelRenderer) -> bool:
    """Return whether what renders rows is the same whoever asks, and whenever: code of the
    project's own may give a serializer other fields by what it reads, or by what its binding has
    set, even where DRF's own code renders these."""
    return not isinstance(renderer, Renderer) or is_own(renderer.serializer)


def is_usual(kind: type[Binding[Any]]) -> bool:
    """Return whether no code of the project's own chooses a binding's serializer, or says anything
    to it."""
    return all(
        getattr(kind, name) is getattr(Binding, name)
        for name in ("get_serializer_class", "get_serializer_context")
    )


def given_columns(plan: Plan) -> tuple[Sequence[str], bool] | None:
    """Return the columns of a plan's rows, and whether somebody has said them; None for model
    instances."""
    return None if plan.columns is None else (plan.columns.names, plan.columns.said)


def _is_as_before(known: Representation) -> bool:
    """Return whether nobody has changed the classes since."""
    kind, renderer = known.serializer_class, known.renderer
    if kind is None or PLAIN in vars(kind) or not isinstance(renderer, Renderer):
        return True  # it was made here
    serializer = renderer.serializer
    return attributes_of(serializer) == known.code and declared_in(serializer) == known.declared


def _json(plan: Plan, binding: Binding[Any], pristine: Binding[Any]) -> Representation:
    choice = SerializerChoice(binding, pristine, plan.alias, plan.columns)
    serializer_class, context = choice.first()
    renderer, encoder = plan.renderer(serializer_class, context), IdentityEncoder(plan.alias)
    made, looks = serializer_identity(encoder, serializer_class), renderer.row_format()
    found = Representation(
        renderer=renderer,
        surroundings=Surroundings.now(),  # as the binding has left them
        told=[made, renderer.fields(), looks, choice.encoded(encoder)],
        format=looks,
        code=attributes_of(renderer.serializer),
        declared=declared_in(renderer.serializer),
        serializer_class=serializer_class,
        instances=plan.instances,
        says_all=plan.says_all,
        unshared=tuple(encoder.unshared),
    )
    plain = renderer.is_plain()
    if plain and plan.columns is None and has_columns(plan.common):
        renderer.leftovers = NO_LEFTOVERS
    elif not plain and not is_own(renderer.serializer):
        found.choice = choice  # it may remember what it has seen
        found.instances = instances_in(plan.of(plan.slot), held_in(choice.context))
        found.says_all = plan.says_all and choice.says_all()
    return found
