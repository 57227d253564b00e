"""Params: what a subscriber may say, and the form in which two sayings are one."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from bindserver.bindings.params import field_of, from_query, validate
from bindserver.engine.protocol import canonical
from bindserver.exceptions import InvalidParams

DECLARED: dict[str, Any] = {
    "zone": serializers.ChoiceField(choices=["a", "b"], default="a"),
    "count": int,
    "since": serializers.DateField(required=False),
    "note": serializers.CharField(required=False, allow_null=True),
}


def test_short_forms_stand_for_fields_that_must_be_given() -> None:
    assert isinstance(field_of(int), serializers.IntegerField)
    assert isinstance(field_of(str), serializers.CharField)
    assert isinstance(field_of(bool), serializers.BooleanField)
    with pytest.raises(InvalidParams, match="count: This field is required"):
        validate(DECLARED, {})


def test_anything_else_is_no_param() -> None:
    with pytest.raises(TypeError, match="serializer field, or int, str or bool"):
        field_of(float)


def test_values_are_python_s_for_the_binding_and_json_s_for_the_wire() -> None:
    values, wire = validate(DECLARED, {"since": "2026-01-02", "count": "5"})
    assert values == {"zone": "a", "count": 5, "since": datetime.date(2026, 1, 2)}
    assert wire == {"zone": "a", "count": 5, "since": "2026-01-02"}


def test_defaults_are_filled_in_and_names_are_sorted() -> None:
    _, wire = validate(DECLARED, {"since": "2026-01-02", "count": 5})
    assert list(wire) == ["count", "since", "zone"]


@pytest.mark.parametrize("given", [{"count": 5}, {"zone": "a", "count": "5"}, {"count": "05"}])
def test_different_sayings_of_the_same_are_one(given: dict[str, Any]) -> None:
    assert canonical(validate(DECLARED, given)[1]) == '{"count":5,"zone":"a"}'


def test_null_is_a_value_where_it_is_allowed() -> None:
    assert validate(DECLARED, {"count": 1, "note": None})[1]["note"] is None
    with pytest.raises(InvalidParams, match="zone: This field may not be null"):
        validate(DECLARED, {"count": 1, "zone": None})


def test_unknown_names_are_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidParams, match="unknown params: x, y; known: count, note, since"):
        validate(DECLARED, {"count": 1, "y": 1, "x": 2})
    with pytest.raises(InvalidParams, match="unknown params: x; known: none"):
        validate({}, {"x": 1})


def test_a_sentence_about_params_is_never_long() -> None:
    with pytest.raises(InvalidParams) as caught:
        validate({}, {"x" * 100_000: 1})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("wrong", [[1], {"a": 1}, "many", 1e400, "x", "1\x00"])
def test_wrong_values_are_refused_by_their_field(wrong: Any) -> None:
    with pytest.raises(InvalidParams, match=r"^count: "):
        validate(DECLARED, {"count": wrong})


def test_a_query_string_gives_lists_where_a_field_takes_many() -> None:
    declared = {
        "ids": serializers.ListField(child=serializers.IntegerField()),
        "q": serializers.CharField(),
    }
    given = from_query(declared, QueryDict("ids=1&ids=2&q=a&q=b&other=1"))
    assert given == {"ids": ["1", "2"], "q": "b", "other": "1"}


def test_validating_leaves_the_declaration_as_it_was() -> None:
    field = serializers.IntegerField(min_value=1)
    declared = {"n": field}
    validate(declared, {"n": 2})
    assert field.parent is None
    assert declared["n"] is field


NUMBERS = {
    "n": serializers.IntegerField(required=False),
    "f": serializers.FloatField(required=False),
}
LISTS = {
    "many": serializers.ListField(child=serializers.IntegerField()),
    "any": serializers.JSONField(),
}


@pytest.mark.parametrize("wrong", [2**63, -(2**63) - 1, 2**70, str(2**70)])
def test_a_whole_number_has_the_bits_that_a_database_has(wrong: Any) -> None:
    with pytest.raises(InvalidParams, match=r"n: a whole number is between -9223372036854775808 "):
        validate(NUMBERS, {"n": wrong})


@pytest.mark.parametrize("right", [2**63 - 1, -(2**63)])
def test_those_that_fit_are_taken(right: int) -> None:
    assert validate(NUMBERS, {"n": right})[0] == {"n": right}


def test_a_field_that_says_how_far_it_goes_is_believed() -> None:
    wide = serializers.IntegerField(min_value=0, max_value=2**70)
    assert validate({"n": wide}, {"n": 2**69})[0] == {"n": 2**69}


@pytest.mark.parametrize("wrong", ["nan", "inf", float("-inf"), float("nan")])
def test_a_number_is_finite(wrong: Any) -> None:
    with pytest.raises(InvalidParams, match=r"^f: "):
        validate(NUMBERS, {"f": wrong})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (2**70, "a whole number is between"),
        ({"a": ["b\0"]}, "no NUL characters"),
        ({"\ud800": 1}, "no lone surrogates"),
        ([[float("nan")]], "finite"),
    ],
)
def test_so_are_values_within_values(wrong: Any, why: str) -> None:
    with pytest.raises(InvalidParams, match=why):
        validate({"any": serializers.ListField()}, {"any": [wrong]})


def test_a_list_s_numbers_too() -> None:
    with pytest.raises(InvalidParams, match="many: a whole number"):
        validate({"many": LISTS["many"]}, {"many": [1, 2**64]})


@pytest.mark.parametrize("wrong", ["a\0b", "\ud800"])
def test_a_text_is_one_that_databases_hold(wrong: str) -> None:
    for declared in (
        serializers.CharField(),
        serializers.ChoiceField([wrong]),
        serializers.JSONField(),
    ):
        with pytest.raises(InvalidParams, match="text"):
            validate({"text": declared}, {"text": wrong})


def test_what_a_binding_adds_to_a_default_is_in_nobody_else_s_params() -> None:
    declared = {"ids": serializers.ListField(child=serializers.IntegerField(), default=[])}
    validate(declared, {})[0]["ids"].append(7)
    assert validate(declared, {}) == ({"ids": []}, {"ids": []})


class Counting(serializers.IntegerField):
    """A field that remembers."""

    asked = 0

    def to_internal_value(self, data: Any) -> int:
        self.asked += 1
        return super().to_internal_value(data) * self.asked


def test_a_field_that_remembers_does_so_for_one_alone_also_inside_a_list() -> None:
    declared = {"one": Counting(), "ids": serializers.ListField(child=Counting())}
    for _ in range(2):
        assert validate(declared, {"one": 5, "ids": [5]})[0] == {"one": 5, "ids": [5]}
