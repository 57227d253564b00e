"""Promises that cannot go untested: each line of the guarantees leads to tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.repo.test_docs import ROOT, anchor, anchors_of, section, text_of

GUARANTEES = "docs/guarantees.md"
EVIDENCE = "docs/evidence.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)*)`")
LINK = re.compile(r"\]\(evidence\.md#([\w-]+)\)")


def below(text: str, rank: int) -> dict[str, str]:
    """Return what stands below each heading of a rank."""
    _, *parts = re.split(rf"^{'#' * rank} (.*)\n", text, flags=re.MULTILINE)
    headings = parts[::2]
    assert len(set(headings)) == len(headings)
    return dict(zip(headings, parts[1::2], strict=True))


def promises() -> dict[str, str]:
    """Return the sections that promise something, by their headings."""
    return below(section(GUARANTEES, "## The promises"), 3)


def entries() -> dict[str, dict[str, str]]:
    """Return the entries of each section of the evidence: what stands there, by its anchor."""
    found = {heading: below(text, 3) for heading, text in below(text_of(EVIDENCE), 2).items()}
    anchors = [anchor(heading) for entries in found.values() for heading in entries]
    assert len(set(anchors)) == len(anchors)  # else GitHub numbers them, and links miss
    return {
        name: {anchor(heading): text for heading, text in entries.items()}
        for name, entries in found.items()
    }


def paths() -> list[tuple[str, str]]:
    """Return the files of tests that the evidence names, and what it names in each."""
    return [(found[1], found[2]) for found in TEST.finditer(text_of(EVIDENCE))]


def test_every_test_named_in_the_evidence_exists() -> None:
    assert paths()
    for path, names in paths():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        body: list[ast.stmt] = tree.body
        for name in names.split("::")[1:]:
            found = [
                node
                for node in body
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                and node.name == name
            ]
            assert found, f"{path}{names}"
            body = found[0].body


def test_the_guarantees_themselves_name_no_test() -> None:
    assert TEST.findall(text_of(GUARANTEES)) == []


def test_each_promise_of_the_table_leads_to_a_section_of_its_own() -> None:
    opening = section(GUARANTEES, "## The promises").split("\n### ")[0]
    rows = [line for line in opening.splitlines() if line.startswith("| ")][2:]
    known = {anchor(heading) for heading in promises()}
    assert rows
    for row in rows:
        named = set(re.findall(r"\]\(#([\w-]+)\)", row))
        assert named, row
        assert named <= known, row


@pytest.mark.parametrize("heading", promises())
def test_each_line_of_a_promise_leads_to_an_entry_below_the_same_heading(heading: str) -> None:
    text = promises()[heading]
    assert set(LINK.findall(text)) == set(entries()[heading])
    lines = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    assert [line for line in lines if not LINK.search(line)] == []


def test_each_entry_is_led_to_by_a_line_and_names_a_test() -> None:
    led_to = set(LINK.findall(text_of(GUARANTEES)))
    assert led_to == {name for below_one in entries().values() for name in below_one}
    assert led_to <= anchors_of(ROOT / EVIDENCE)
    for section_entries in entries().values():
        for name, text in section_entries.items():
            assert TEST.search(text), name
