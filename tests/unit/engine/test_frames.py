"""The text of shared frames."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bindserver.engine import frames
from bindserver.engine.frames import (
    BREATH_BYTES,
    DEFAULT_PAGE_SIZE,
    PAGE_BYTES,
    PAGE_SIZES,
    Frame,
    FrameEncoder,
    key_text,
    round_page_size,
    split,
)
from bindserver.engine.ring import Delta, Put
from tests.unit.engine.tools import ENCODER, data_of

FILTERED = FrameEncoder(event="größe", params='{"category":3}', key="sku")
PAGED = ("page", "pages", "cursor")


def put(key: int | str, *, created: bool = False, placed: bool = False, after: Any = None) -> Put:
    text = json.dumps({"id": key})
    return Put(key=key, text=text, created=created, placed=placed, after=after)


def delta(*puts: Put, deletes: tuple[int | str, ...] = ()) -> Delta:
    return Delta(version=1, deletes=deletes, puts=puts)


def only(answer: tuple[Frame, ...]) -> dict[str, Any]:
    (frame,) = answer
    return data_of(frame)


def test_a_frame_names_its_event_and_carries_params_inside_its_data() -> None:
    (frame,) = FILTERED.sync(['{"sku":"ä"}'], "c1", 100)
    assert json.loads(frame.text) == {
        "event": "größe",
        "data": {
            "action": "sync",
            "payload": [{"sku": "ä"}],
            "params": {"category": 3},
            "cursor": "c1",
        },
    }


def test_a_binding_without_params_has_none_in_its_frames() -> None:
    assert "params" not in only(ENCODER.sync([], "c", 100))


@pytest.mark.parametrize(
    "answer",
    [
        FILTERED.sync([], "c", 100),
        FILTERED.sync(['{"sku":1}'] * 250, "c", 100),
        FILTERED.delta(delta(), "c"),
        FILTERED.delta(delta(put(1)), "c"),
        FILTERED.delta(delta(deletes=('"\\\ud800',)), "c"),
        FILTERED.delta(delta(put("ä", created=True, placed=True, after='"')), "c"),
        FILTERED.delta(delta(put(1), put(2), deletes=(3,)), "c"),
        (FILTERED.stale(),),
    ],
)
def test_every_frame_is_json_with_params_and_an_honest_size(answer: tuple[Frame, ...]) -> None:
    for frame in answer:
        assert frame.size == len(frame.text.encode())
        assert json.loads(frame.text)["event"] == "größe"
        assert data_of(frame)["params"] == {"category": 3}


def test_an_empty_queryset_is_a_sync_of_no_rows() -> None:
    assert only(ENCODER.sync([], "c", 100)) == {"action": "sync", "payload": [], "cursor": "c"}


def test_an_empty_delta_is_ok_with_a_cursor() -> None:
    assert only(ENCODER.delta(delta(), "c")) == {"action": "ok", "cursor": "c"}


def test_stale_has_no_cursor() -> None:
    assert data_of(ENCODER.stale()) == {"action": "stale"}


def test_a_delete_shows_the_key_alone() -> None:
    (frame,) = FILTERED.delta(delta(deletes=("a",)), "c")
    assert data_of(frame)["action"] == "delete"
    assert data_of(frame)["payload"] == {"sku": "a"}


def test_a_create_carries_its_place() -> None:
    data = only(ENCODER.delta(delta(put(1, created=True, placed=True, after=7)), "c"))
    assert data == {"action": "create", "payload": {"id": 1}, "after": 7, "cursor": "c"}


def test_the_first_place_is_after_null() -> None:
    data = only(ENCODER.delta(delta(put(1, placed=True)), "c"))
    assert data == {"action": "update", "payload": {"id": 1}, "after": None, "cursor": "c"}


def test_an_update_that_stays_carries_no_place() -> None:
    data = only(ENCODER.delta(delta(put(1)), "c"))
    assert data == {"action": "update", "payload": {"id": 1}, "cursor": "c"}


def test_several_changes_are_a_batch_with_the_deletes_first() -> None:
    changes = delta(put(1, placed=True, after="x"), put(2), deletes=(3,))
    assert only(ENCODER.delta(changes, "c")) == {
        "action": "batch",
        "payload": [
            {"action": "delete", "payload": {"id": 3}},
            {"action": "update", "payload": {"id": 1}, "after": "x"},
            {"action": "update", "payload": {"id": 2}},
        ],
        "cursor": "c",
    }


def test_pages_are_numbered_and_the_last_alone_has_the_cursor() -> None:
    answer = ENCODER.sync([f'{{"id":{n}}}' for n in range(250)], "c", 100)
    assert [tuple(data_of(frame).get(name) for name in PAGED) for frame in answer] == [
        (1, 3, None),
        (2, 3, None),
        (3, 3, "c"),
    ]
    assert [row["id"] for frame in answer for row in data_of(frame)["payload"]] == list(range(250))


def test_a_large_batch_comes_in_pages_too() -> None:
    answer = ENCODER.delta(delta(*[put(n) for n in range(DEFAULT_PAGE_SIZE + 1)]), "c")
    assert [data_of(frame)["action"] for frame in answer] == ["batch", "batch"]
    assert [len(data_of(frame)["payload"]) for frame in answer] == [DEFAULT_PAGE_SIZE, 1]
    assert [data_of(frame).get("cursor") for frame in answer] == [None, "c"]


def test_rows_that_fill_one_page_exactly_are_one_frame() -> None:
    assert "page" not in only(ENCODER.sync(['{"id":1}'] * 100, "c", 100))


@pytest.mark.parametrize("letter", ["x", "ä", "🍎"])
def test_a_page_is_bounded_in_bytes(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "PAGE_BYTES", 100)
    pages = list(split([letter * 10] * 50, 5000))
    assert sum(map(len, pages)) == 50
    assert all(sum(len(item.encode()) for item in page) <= 100 for page in pages)
    assert len(pages) < 50


def test_a_row_larger_than_a_page_has_a_page_of_its_own() -> None:
    large = "x" * (PAGE_BYTES + 1)
    assert list(split(["a", large, "b"], 100)) == [["a"], [large], ["b"]]


@pytest.mark.parametrize(
    ("asked", "size"),
    [(None, 1000), (1, 100), (299, 100), (301, 500), (800, 1000), (10**400, 5000)],
)
def test_a_page_size_is_rounded_to_one_of_a_few(asked: int | None, size: int) -> None:
    assert round_page_size(asked) == size
    assert size in PAGE_SIZES


def test_a_key_is_json() -> None:
    assert [key_text(key) for key in (7, "7", 'a"b', None)] == ["7", '"7"', '"a\\"b"', "null"]


@pytest.mark.parametrize("encoder", [ENCODER, FILTERED], ids=["plain", "params"])
@pytest.mark.parametrize("count", [0, 1, 250])
def test_a_sync_with_another_cursor_is_as_if_it_were_made_anew(
    encoder: FrameEncoder, count: int
) -> None:
    rows = [json.dumps({"sku": f'"cursor":"{number}"'}) for number in range(count)]
    made = encoder.sync(rows, "c1", 100)
    assert encoder.renewed(made, "c2") == encoder.sync(rows, "c2", 100)


class TestEventStreams:
    """What shared frames are as events (WHATWG HTML, section 9.2)."""

    def test_an_event_is_named_after_its_action_and_has_the_frame_s_data(self) -> None:
        (frame,) = ENCODER.delta(delta(put(7)), "c")
        name, data = frame.lines(named=False).decode().splitlines()
        assert name == "event: update"
        assert json.loads(data.removeprefix("data: ")) == data_of(frame)

    def test_one_of_several_bindings_names_its_own(self) -> None:
        (frame,) = FILTERED.delta(delta(put(7), put(8)), "c")
        name, data = frame.lines(named=True).decode().splitlines()
        assert name == "event: batch"
        said = json.loads(data.removeprefix("data: "))
        assert said == {"event": "größe", **data_of(frame)}

    def test_both_ways_may_be_asked_for_in_any_order(self) -> None:
        (frame,) = ENCODER.delta(delta(put(7)), "c")
        first = [frame.lines(named=named) for named in (True, False, True, False)]
        assert first[:2] == first[2:]
        assert first[0] != first[1]

    def test_line_ends_between_tokens_end_no_line(self) -> None:
        rows = ['{"id": 7,\r\n "tags": [1,\n2,\r3]}']
        (frame,) = ENCODER.sync(rows, "c", 100)
        assert frame.lines(named=True).count(b"\n") == 2
        assert b"\r" not in frame.lines(named=False)

    def test_line_ends_in_a_row_s_text_are_kept(self) -> None:
        (frame,) = ENCODER.sync([json.dumps({"id": 7, "text": "a\r\nb"})], "c", 100)
        _, data = frame.lines(named=False).decode().splitlines()
        assert json.loads(data.removeprefix("data: "))["payload"][0]["text"] == "a\r\nb"

    def test_the_last_page_alone_names_a_state(self) -> None:
        pages = ENCODER.sync([json.dumps({"id": key}) for key in range(250)], "c", 100)
        assert [page.shared and page.shared.cursor for page in pages] == [None, None, "c"]

    def test_what_is_large_is_not_kept(self) -> None:
        (frame,) = ENCODER.sync([json.dumps({"id": 1, "text": "x" * BREATH_BYTES})], "c", 100)
        assert frame.lines(named=False) is not frame.lines(named=False)
