"""Viewsets behind a real server: other programs' writes, tokens, and 304."""

from __future__ import annotations

from tests.servers.transports.test_identity import add_token
from tests.servers.transports.test_rest import ask
from tests.support.program import Program
from tests.support.server import Server


def test_a_poll_is_304_until_another_program_writes(server: Server, program: Program) -> None:
    program.add_products(3)
    first = ask(server, "/drf/bound/plain/")
    assert [row["id"] for row in first.data] == [1, 2, 3]
    tag = first.headers["ETag"]
    again = ask(server, "/drf/bound/plain/", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    program.run("UPDATE app_product SET name = 'changed' WHERE id = 2")
    changed = ask(server, "/drf/bound/plain/", If_None_Match=tag)
    assert changed.status == 200
    assert changed.data == ask(server, "/drf/plain/plain/").data
    assert changed.data[1]["name"] == "changed"


def test_head_is_get_without_the_body(server: Server, program: Program) -> None:
    program.add_products(3)
    got, head = (ask(server, "/drf/bound/plain/", method) for method in ("GET", "HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert head.headers["ETag"] == got.headers["ETag"]


def test_tokens_are_asked_for_as_ever(server: Server, program: Program) -> None:
    program.log_in("ann")
    program.add_products(1)
    assert ask(server, "/drf/bound/members/").status in (401, 403)
    token = {"Authorization": f"Token {add_token(program, 1)}"}
    answer = ask(server, "/drf/bound/members/", **token)
    assert len(answer.data) == 1
    tag = answer.headers["ETag"]
    assert ask(server, "/drf/bound/members/", If_None_Match=tag, **token).status == 304
    assert ask(server, "/drf/bound/members/", If_None_Match=tag).status in (401, 403)
