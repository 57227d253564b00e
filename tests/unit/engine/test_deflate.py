"""A message is compressed once, and by itself."""

from __future__ import annotations

import random
import zlib

import pytest

from bindserver.engine.deflate import LEAST_BYTES, TAIL, WINDOW_BITS, deflate
from bindserver.engine.frames import BREATH_BYTES, Frame
from bindserver.engine.line import Line

ROW = '{"id":1,"name":"Łódź ☃","stock":7},'
NOISE = "".join(map(chr, random.Random(1).sample(range(128), 128)))
"""Nothing of it comes twice."""


def read(wire: bytes) -> str:
    """Return what a client reads of a frame that is compressed."""
    assert wire[0] == 0xC1, "one text frame, with RSV1"
    head = {126: 4, 127: 10}.get(wire[1], 2)
    size = int.from_bytes(wire[2:head], "big") if head > 2 else wire[1]
    assert size == len(wire) - head
    return zlib.decompressobj(-WINDOW_BITS).decompress(wire[head:] + TAIL).decode()


@pytest.mark.parametrize("rows", [4, 10, 100, 2_000, 40_000])
def test_a_compressed_frame_is_shorter_and_says_the_same(rows: int) -> None:
    frame = Frame.of(ROW * rows)
    assert read(frame.packed) == frame.text
    assert len(frame.packed) < len(frame.wire)


@pytest.mark.parametrize("text", ["", "x" * (LEAST_BYTES - 1), NOISE])
def test_what_would_not_get_shorter_stays_as_it_is(text: str) -> None:
    frame = Frame.of(text)
    assert frame.packed == frame.wire


@pytest.mark.parametrize("size", [LEAST_BYTES, BREATH_BYTES, BREATH_BYTES + 1])
def test_a_frame_is_compressed_once_however_many_get_it(size: int) -> None:
    frame = Frame.of("x" * size)
    assert frame.takes_long_to_pack == (size > BREATH_BYTES)
    assert frame.weight == size
    assert frame.packed is frame.packed
    assert not frame.takes_long_to_pack
    assert frame.weight == size + len(frame.packed)


def test_frames_that_say_the_same_are_the_same_however_they_were_written() -> None:
    one, other = Frame.of("x" * 500), Frame.of("x" * 500)
    assert one.packed == other.packed
    assert one == other


def test_no_message_is_compressed_by_another() -> None:
    assert deflate(ROW.encode() * 9) == deflate(ROW.encode() * 9)


def test_half_a_surrogate_pair_is_no_compressed_frame_either() -> None:
    with pytest.raises(UnicodeEncodeError):
        _ = Frame.of("\ud800" * 200).packed


@pytest.mark.parametrize("packs", [False, True])
def test_a_line_counts_what_it_writes(packs: bool) -> None:
    line, written = Line(), bytearray()
    line.packs, line.write = packs, written.extend
    line.put(Frame.of("x" * 500))
    assert bytes(written) == Frame.of("x" * 500).form(packed=packs)
    assert (line.frames, line.bytes) == (1, len(written))
