"""What the soak says of what it has measured; `make soak` runs it."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.soak.chart import chart
from tests.soak.gauges import GAUGES, Gauge
from tests.soak.soak import troubles_of


def test_what_ends_higher_than_it_may_is_trouble_and_what_was_high_meanwhile_is_none() -> None:
    began = {gauge.name: 10.0 for gauge in GAUGES}
    values = {name: [value, value * 9, value] for name, value in began.items()}
    assert troubles_of(values) == []
    values["threads"][-1] = 13
    assert troubles_of(values) == ["threads: 10 at first, 13 at last, and 12 at most"]


def test_memory_may_grow_by_a_share() -> None:
    assert Gauge("memory", "MiB", slack=8, share=0.1).most(100) == 118


def test_the_plot_shows_each_thing_with_its_limit() -> None:
    drawn = chart([0.5, 1.0], {"threads": [3, 4], "a & b": [1, 1]}, {"threads": 5})
    root = ElementTree.fromstring(drawn)
    told = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "threads: 3 to 4, highest 4" in told
    assert "a & b: 1 to 1, highest 1" in told
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == 1
