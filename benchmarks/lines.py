"""What `benchmarks.queries` measures: bindings, changes, and what each change may cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.board.layout import COMMENTS, LINKS, MEMBERSHIPS, SPARE
from benchmarks.cycling import Wanted

Sql = tuple[Any, ...]
"""A statement, and its arguments."""

WINDOWS = 10
WINDOW_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much there is.

    Attributes:
        rows: how many tasks.
        views: how many views of one shape, and how many users and projects.
        users: these users.
    """

    rows: int
    views: int
    users: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a change may cost at most; None where that does not matter."""

    statements: int | None = None
    milliseconds: float | None = None
    words: str = ""

    def __str__(self) -> str:
        if self.words:
            return self.words
        most = f"{self.statements} statements" if self.statements else ""
        return ", ".join(filter(None, [most, f"{self.milliseconds:g} ms"]))

    def is_reached(self, statements: float, milliseconds: float) -> bool:
        """Return whether a change that cost so much was as cheap."""
        return (self.statements is None or statements <= self.statements) and (
            self.milliseconds is None or milliseconds <= self.milliseconds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A binding, and a change.

    Attributes:
        name: for the command line.
        words: what is measured.
        target: what the change may cost.
        wanted: who follows what.
        change: the n-th change, in one statement.
        publishes: how many views move by it.
        how: another way of measuring than by the change: `beside`, or `clock`.
        alone: whether the change log watches what its binding reads, and no other's: then the
            column that it writes to is one that nobody reads.
    """

    name: str
    words: str
    target: Target
    wanted: Callable[[Sizes], list[Wanted]]
    change: Callable[[Sizes, int], Sql]
    publishes: int = 1
    how: str = "change"
    alone: bool = False


FEW = Target(statements=5, milliseconds=10)
AS_THE_PARENT = Target(statements=5, milliseconds=5)
NOTHING = Target(statements=0, words="no read")


def _one(event: str) -> Callable[[Sizes], list[Wanted]]:
    return lambda sizes: [Wanted(event=event)]


def _each_user(event: str) -> Callable[[Sizes], list[Wanted]]:
    return lambda sizes: [Wanted(event=event, user=user) for user in sizes.users]


def _windows(sizes: Sizes) -> list[Wanted]:
    size = min(WINDOW_ROWS, sizes.rows // (2 * WINDOWS))
    starts = [size * number for number in range(WINDOWS)]
    return [Wanted(event="window", params={"start": start, "size": size}) for start in starts]


def _each_owner(sizes: Sizes) -> list[Wanted]:
    owners = range(1, sizes.views + 1)
    return [Wanted(event="dear", params={"owner": owner}) for owner in owners]


def _twenty(sizes: Sizes) -> list[Wanted]:
    return [Wanted(event="open", user=user) for user in sizes.users[:20]]


def _titled(task: int, number: int) -> Sql:
    return "UPDATE board_task SET title = ? WHERE id = ?", f"changed {number}", task


def _retitle(sizes: Sizes, number: int) -> Sql:
    return _titled(1 + number * 7 % sizes.rows, number)


def _retitle_late(sizes: Sizes, number: int) -> Sql:
    """A task in the second half, among the last of its owner."""
    return _titled(sizes.rows - number % min(sizes.rows // 2, WINDOW_ROWS * sizes.views), number)


def _move(sizes: Sizes, number: int) -> Sql:
    title, task = f"task {number * 7919 % sizes.rows:06} {number}", 1 + number * 7 % sizes.rows
    return "UPDATE board_task SET title = ? WHERE id = ?", title, task


def _join(sizes: Sizes, number: int) -> Sql:
    user = number % sizes.views
    project = (user + MEMBERSHIPS + number // sizes.views) % sizes.views
    put = "INSERT INTO board_project_members (project_id, user_id) VALUES (?, ?)"
    return put, 1 + project, 1 + user


def _comment(sizes: Sizes, number: int) -> Sql:
    put = "INSERT INTO board_comment (task_id, text, hours, stars) VALUES (?, 'new', 1, 1)"
    return put, 1 + number * 7 % sizes.rows


def _first_comment(what: str, sizes: Sizes, number: int, *arguments: Any) -> Sql:
    comment = 1 + COMMENTS * (number * 7 % sizes.rows)
    return f"UPDATE board_comment SET {what} WHERE id = ?", *arguments, comment


def _work(sizes: Sizes, number: int) -> Sql:
    return _first_comment("hours = hours + 1", sizes, number)


def _praise(sizes: Sizes, number: int) -> Sql:
    return _first_comment("stars = 6 - stars", sizes, number)


def _reword(sizes: Sizes, number: int) -> Sql:
    return _first_comment("text = ?", sizes, number, f"changed {number}")


def _relink(sizes: Sizes, number: int) -> Sql:
    one, other = SPARE
    tag = f"CASE tag_id WHEN {one} THEN {other} ELSE {one} END"
    link = 1 + LINKS * (number * 7 % sizes.rows)
    return f"UPDATE board_task_tags SET tag_id = {tag} WHERE id = ?", link


def _none(sizes: Sizes, number: int) -> Sql:
    return ("SELECT 1",)


LINES = (
    Line(
        name="plain", words="a plain row alone, which marks each change below",
        target=Target(words="-"), wanted=lambda sizes: [], change=_none, publishes=0,
    ),
    Line(
        name="member-join", words="a view for each user by `project__members=user`, a task changes",
        target=FEW, wanted=_each_user("member_join"), change=_retitle, publishes=MEMBERSHIPS,
    ),
    Line(
        name="member-join-new", words="the same, a user joins a project",
        target=FEW, wanted=_each_user("member_join"), change=_join,
    ),
    Line(
        name="member-in", words="a view for each user by `project__in=subquery`, a task changes",
        target=FEW, wanted=_each_user("member_in"), change=_retitle, publishes=MEMBERSHIPS,
    ),
    Line(
        name="member-in-new", words="the same, a user joins a project",
        target=FEW, wanted=_each_user("member_in"), change=_join,
    ),
    Line(
        name="member-list-new", words="a view for each user by keys read when asked, a user joins",
        target=FEW, wanted=_each_user("member_list"), change=_join,
    ),
    Line(
        name="last", words="a view for each user, \"my last 20\", a task changes",
        target=FEW, wanted=_each_user("last"), change=_retitle_late,
    ),
    Line(
        name="count", words="`annotate(Count)`, a child comes",
        target=AS_THE_PARENT, wanted=_one("count"), change=_comment,
    ),
    Line(
        name="sum", words="`annotate(Sum)`, a child changes",
        target=AS_THE_PARENT, wanted=_one("sum"), change=_work,
    ),
    Line(
        name="tags", words="many-to-many shown, a link changes",
        target=AS_THE_PARENT, wanted=_one("task_tags"), change=_relink,
    ),
    Line(
        name="nested", words="nested serializer with 3 children each, a child changes",
        target=AS_THE_PARENT, wanted=_one("nested"), change=_reword,
    ),
    Line(
        name="distinct", words="reverse foreign key with `distinct`, a child changes",
        target=AS_THE_PARENT, wanted=_one("distinct"), change=_praise,
    ),
    Line(
        name="distinct-unread", words="the same, in a column that nobody reads",
        target=NOTHING, wanted=_one("distinct"), change=_reword, publishes=0, alone=True,
    ),
    Line(
        name="exists", words="`Exists`, a child changes",
        target=AS_THE_PARENT, wanted=_one("exists"), change=_praise,
    ),
    Line(
        name="exists-unread", words="the same, in a column that nobody reads",
        target=NOTHING, wanted=_one("exists"), change=_reword, publishes=0, alone=True,
    ),
    Line(
        name="order", words="an order by text, one row moves",
        target=Target(milliseconds=5), wanted=_one("by_title"), change=_move,
    ),
    Line(
        name="windows", words="ten windows of 20, a row outside all of them changes",
        target=NOTHING, wanted=_windows, change=_retitle_late, publishes=0,
    ),
    Line(
        name="dear", words="a plain row, written while a change concerns a dear view for each user",
        target=Target(words="2 x alone"), wanted=_each_owner, change=_retitle, how="beside",
    ),
    Line(
        name="clock", words="20 users of one binding by `timezone.now()`, until all are answered",
        target=Target(words="one view, or a refusal"), wanted=_twenty, change=_none, how="clock",
    ),
)  # fmt: skip
"""The table, line by line."""
