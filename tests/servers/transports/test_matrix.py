"""Who is sent what: every transport, every proof of who somebody is, and every kind of right.

What is sent is compared with what the database says of the same user, by SQL of the test's own. A
row that somebody may not have must be in nothing that they are sent, nor a column that is not
served: their texts are marked.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher

from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_identity import jwt
from tests.servers.transports.test_rest import Answer, ask
from tests.support.metrics import scrape
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking

PASSWORD = "correct horse"
COLUMN = "no column that is served"
"""What stands in a column that no binding serves."""

KEYS = (11, 12, 21, 22)
"""Products that are asked for by their keys: Ann's and Bob's, of each one that is hidden."""

Row = dict[str, Any]
Truth = list[Row] | None
"""The rows that somebody may have, in order; None where they are refused."""


@dataclass(frozen=True)
class User:
    """Somebody.

    Attributes:
        pk: None for nobody.
        name: of the user.
        is_staff: whether they see what is for staff.
        has_right: whether a group of theirs has a right.
        is_active: whether they may log in.
    """

    pk: int | None
    name: str
    is_staff: bool = False
    has_right: bool = False
    is_active: bool = True

    @property
    def is_somebody(self) -> bool:
        return self.pk is not None and self.is_active


NOBODY = User(None, "nobody")
USERS = (
    User(1, "ann"),
    User(2, "bob"),
    User(3, "sam", is_staff=True),
    User(4, "gus", has_right=True),
    User(5, "ina", is_staff=True, has_right=True, is_active=False),
)
ANN = USERS[0]


def token_of(user: User) -> str:
    return f"token-of-{user.name}".ljust(40, "0")


@dataclass(frozen=True)
class Proof:
    """How somebody says who they are.

    Attributes:
        headers: of a request or a handshake.
        said: the token of a `$auth` after it.
        transports: where there is such a thing.
    """

    headers: Callable[[User], dict[str, str]] = lambda user: {}
    said: Callable[[User], str] | None = None
    transports: tuple[str, ...] = ("websocket", "http")


def basic(user: User) -> dict[str, str]:
    text = base64.b64encode(f"{user.name}:{PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {text}"}


def jwt_of(user: User) -> str:
    return jwt(user.pk or 0)


PROOFS = {
    "session": Proof(
        lambda user: {"Cookie": f"sessionid={f'sessionof{user.name}'.ljust(32, '0')}"}
    ),
    "token": Proof(lambda user: {"Authorization": f"Token {token_of(user)}"}),
    "jwt": Proof(lambda user: {"Authorization": f"Bearer {jwt_of(user)}"}),
    "basic": Proof(basic, transports=("http",)),
    "proxy": Proof(lambda user: {"Authorization": "Proxy x", "X-Forwarded-User": user.name}),
    "auth-token": Proof(said=token_of, transports=("websocket",)),
    "auth-jwt": Proof(said=jwt_of, transports=("websocket",)),
}


# What the database says.


def rows(program: Program, condition: str = "TRUE", *, columns: str = "id, name") -> list[Row]:
    names = columns.split(", ")
    sql = f"SELECT {columns} FROM app_product WHERE {condition} ORDER BY id"
    return [_plain(dict(zip(names, row, strict=True))) for row in program.run(sql)]


def _plain(row: Row) -> Row:
    return {name.replace("category_id", "category"): value for name, value in row.items()}


def all_if(condition: bool, program: Program) -> Truth:
    return rows(program) if condition else None


def own(program: Program, user: User) -> Truth:
    pk = user.pk if user.is_somebody else 0
    theirs = f"category_id IN (SELECT category_id FROM app_membership WHERE user_id = {pk})"
    return rows(program, theirs, columns="id, name, category_id")


TRUTHS: Mapping[str, Callable[[Program, User], Truth]] = {
    "products": lambda program, user: rows(program, "active", columns="id, name, category_id"),
    "members": lambda program, user: all_if(user.is_somebody, program),
    "mine": own,
    "for_staff": lambda program, user: rows(
        program, str(user.is_somebody and user.is_staff).upper()
    ),
    "guarded": lambda program, user: all_if(user.is_somebody and user.has_right, program),
}


@dataclass
class World:
    """A server, and what stands in its database."""

    server: Server
    program: Program


@pytest.fixture(scope="module")
def world(make_server: MakeServer) -> Iterator[World]:
    with served(make_server, METRICS_ALLOW=["127.0.0.1"]) as world:
        yield world


@contextmanager
def served(make_server: MakeServer, **settings: Any) -> Iterator[World]:
    """Serve a database in which everybody has something."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.support.matrix_settings"}
    server = make_server(environment=environment, **settings).start()
    with closing(program_on(server)) as program:
        fill(program)
        yield World(server, program)
    assert "Exception in ASGI" not in server.log.read_text()


def fill(program: Program) -> None:
    hasher = MD5PasswordHasher()
    # Of a shorter salt Django makes a new hash at a login, by which the user's sessions end.
    password = hasher.encode(PASSWORD, hasher.salt())
    for user in USERS:
        active, staff = int(user.is_active), int(user.is_staff)
        program.log_in(user.name, password=password, is_active=active, is_staff=staff)
        program.run(
            "INSERT INTO authtoken_token VALUES (?, '2026-01-01', ?)", token_of(user), user.pk
        )
        program.run("INSERT INTO app_category (id, name) VALUES (?, ?)", user.pk, user.name)
        program.run(
            "INSERT INTO app_membership (user_id, category_id) VALUES (?, ?)", user.pk, user.pk
        )
        for number in (1, 2):
            key = 10 * (user.pk or 0) + number
            program.run(
                "INSERT INTO app_product (id, name, sku, price, stock, active, category_id) "
                "VALUES (?, ?, ?, 1, 0, ?, ?)",
                *(key, mark(key), f"{COLUMN} {key}", number - 1, user.pk),
            )
    [[right]] = program.run("SELECT id FROM auth_permission WHERE codename = 'view_product'")
    program.run("INSERT INTO auth_group (id, name) VALUES (7, 'buyers')")
    program.run("INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (7, ?)", right)
    for user in USERS:
        if user.has_right:
            program.run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (?, 7)", user.pk)


def mark(key: int) -> str:
    """Return the name of a product, which is nowhere else."""
    return f"<product {key}>"


def judge(text: str, truth: Truth, program: Program) -> None:
    """Make sure that a text has nothing of a row that is not among these, nor a hidden column."""
    allowed = {row["id"] for row in truth or ()}
    for row in rows(program):
        assert row["id"] in allowed or mark(row["id"]) not in text, text
    assert COLUMN not in text, text


def shown(found: list[Row], truth: Truth) -> list[Row]:
    """Return rows with those columns alone that the truth names; they may have no key besides
    those of the binding."""
    assert all(row.keys() <= {"id", "name", "price", "stock", "category"} for row in found)
    names = (truth or [{}])[0].keys()
    return [{name: row[name] for name in row if name in names} for row in found]


# Transports.


async def over_websocket(world: World, proof: Proof, user: User, event: str) -> None:
    async with talking(world.server.ws, proof.headers(user)) as talk:
        caller = await introduced(talk, proof, user)
        truth = TRUTHS[event](world.program, caller)
        if truth is None:
            await talk.say(event)
            refused = await talk.hear_data(event)
            assert refused["action"] == "error"
            assert refused["payload"]["code"] == (
                "forbidden" if caller.is_somebody else "unauthenticated"
            )
        else:
            following = await talk.follow(event)
            assert shown(following.replica.rows, truth) == truth
            again = await talk.follow(event, cursor=following.cursor, held=[1, 11, 21, 31])
            assert {row["id"] for row in again.replica.rows} <= {row["id"] for row in truth}
        judge(json.dumps(talk.heard), truth, world.program)


async def introduced(talk: Talk, proof: Proof, user: User) -> User:
    """Say who the client is after the handshake, if that is the way; return who it is then."""
    if proof.said is None:
        return user
    await talk.say("$auth", token=proof.said(user))
    answer = await talk.hear_data("$auth")
    assert (answer.get("action") == "error") is not user.is_active
    return user if user.is_active else NOBODY


def judged_answer(world: World, answer: Answer, truth: Truth) -> Answer:
    told = answer.body.decode() + json.dumps(list(answer.headers.items()))
    judge(told, truth, world.program)
    return answer


def over_http(world: World, proof: Proof, user: User, event: str, prefix: str) -> None:
    headers, server = named(proof.headers(user)), world.server
    # A session of somebody inactive is nobody's; any other proof of theirs is refused.
    is_session = "Cookie" in headers
    truth = TRUTHS[event](world.program, user if user.is_active else NOBODY)
    refused = truth is None or not (user.is_active or is_session or not headers)
    path = f"/{prefix}/{event}/"
    listed = judged_answer(world, ask(server, path, **headers), None if refused else truth)
    if refused:
        assert listed.status in (401, 403)
        for key in KEYS:
            answer = judged_answer(world, ask(server, f"{path}{key}/", **headers), None)
            assert answer.status in (401, 403)
        return
    assert truth is not None
    assert shown(listed.data, truth) == truth
    same = ask(server, path, **headers, If_None_Match=listed.headers["ETag"])
    assert (same.status, same.body) == (304, b"")
    nowhere = ask(server, f"{path}999/", **headers)
    for key in KEYS:
        answer = ask(server, f"{path}{key}/", **headers)
        mine = [one for one in truth if one["id"] == key]
        judged_answer(world, answer, mine)
        # A row of somebody else's is as one that is not there.
        assert answer.status == (200 if mine else 404)
        assert mine or answer.body == nowhere.body


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


TRANSPORTS = ("websocket", "bindings", "viewsets")
CELLS = [
    pytest.param(transport, PROOFS[name], user, id=f"{transport}-{name}-{user.name}")
    for transport, name, user in product(TRANSPORTS, PROOFS, USERS)
    if ("websocket" if transport == "websocket" else "http") in PROOFS[name].transports
] + [
    pytest.param(transport, Proof(), NOBODY, id=f"{transport}-anonymous")
    for transport in TRANSPORTS
]


def is_shown_the_door(proof: Proof, user: User) -> bool:
    """Whether a handshake is refused: a proof in its header is none."""
    return not user.is_active and "Authorization" in proof.headers(user)


async def look(world: World, transport: str, proof: Proof, user: User, event: str) -> None:
    """Have somebody ask for a binding's rows, and compare what they are sent."""
    if transport != "websocket":
        over_http(world, proof, user, event, transport)
    elif is_shown_the_door(proof, user):
        async with talking(world.server.ws, proof.headers(user)) as talk:
            assert await talk.closed() == 4401
            judge(json.dumps(talk.heard), None, world.program)
    else:
        await over_websocket(world, proof, user, event)


@pytest.mark.parametrize("event", TRUTHS)
@pytest.mark.parametrize(("transport", "proof", "user"), CELLS)
async def test_nobody_is_sent_more_than_the_database_says_that_they_may_have(
    world: World, transport: str, proof: Proof, user: User, event: str
) -> None:
    await look(world, transport, proof, user, event)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Token {'0' * 40}"},
        {"Authorization": f"Bearer {jwt(1)[:-3]}xxx"},
        {"Authorization": f"Bearer {jwt(99)}"},
        {"Authorization": f"Bearer {jwt(1, -5)}"},
        basic(User(1, "ann' OR 1=1 --")),
        {"X-Forwarded-User": "nobody here"},
    ],
    ids=["token", "forged-jwt", "jwt-of-nobody", "expired-jwt", "basic", "proxy"],
)
@pytest.mark.parametrize("prefix", ["bindings", "viewsets"])
def test_a_proof_that_is_none_gets_nothing(
    world: World, headers: dict[str, str], prefix: str
) -> None:
    for event in TRUTHS:
        answer = ask(world.server, f"/{prefix}/{event}/", **named(headers))
        assert answer.status in (401, 403)
        judged_answer(world, answer, None)


@pytest.mark.parametrize("name", PROOFS)
@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
def test_the_catalogue_names_what_somebody_may_have_and_no_row(
    world: World, name: str, user: User
) -> None:
    answer = ask(world.server, "/bindings/", **named(PROOFS[name].headers(user)))
    judged_answer(world, answer, None)
    is_known = user.is_active and "http" in PROOFS[name].transports
    caller = user if is_known else NOBODY
    if answer.status == 200:
        listed = {item["event"] for item in answer.data} & TRUTHS.keys()
        allowed = {e for e in TRUTHS if TRUTHS[e](world.program, caller) is not None}
        assert listed == allowed
    else:
        assert answer.status in (401, 403)
        assert not user.is_active


# What changes.


@dataclass(frozen=True)
class Change:
    """Something that is taken from a user.

    Attributes:
        statements: take it.
        event: what it was good for.
        user: whose it was.
        back: give it back.
    """

    statements: tuple[str, ...]
    event: str
    user: User
    back: tuple[str, ...]


SAM, GUS = USERS[2], USERS[3]
CHANGES = {
    "group left": Change(
        ("DELETE FROM auth_user_groups WHERE user_id = 4",), "guarded", GUS,
        ("INSERT INTO auth_user_groups (user_id, group_id) VALUES (4, 7)",),
    ),
    "staff no more": Change(
        ("UPDATE auth_user SET is_staff = FALSE WHERE id = 3",), "for_staff", SAM,
        ("UPDATE auth_user SET is_staff = TRUE WHERE id = 3",),
    ),
    "membership gone": Change(
        ("DELETE FROM app_membership WHERE user_id = 1",), "mine", ANN,
        ("INSERT INTO app_membership (user_id, category_id) VALUES (1, 1)",),
    ),
    "inactive": Change(
        ("UPDATE auth_user SET is_active = FALSE WHERE id = 1",), "members", ANN,
        ("UPDATE auth_user SET is_active = TRUE WHERE id = 1",),
    ),
}  # fmt: skip


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, world: World) -> Iterator[Change]:
    change = CHANGES[request.param]
    yield change
    for statement in change.back:
        world.program.run(statement)


def take(change: Change, world: World) -> None:
    """Take it, and have all rows say something new in the same transaction."""
    with world.program.transaction():
        for statement in change.statements:
            world.program.run(statement)
        world.program.run("UPDATE app_product SET price = price + 1, stock = stock + 1")


@pytest.mark.parametrize("name", [n for n, p in PROOFS.items() if "http" in p.transports])
@pytest.mark.parametrize("prefix", ["bindings", "viewsets"])
def test_what_is_taken_is_not_served_over_http_though_the_client_has_a_tag_of_it(
    world: World, change: Change, prefix: str, name: str
) -> None:
    headers = named(PROOFS[name].headers(change.user))
    path = f"/{prefix}/{change.event}/"
    before = ask(world.server, path, **headers)
    assert before.status == 200
    assert before.data
    row = f"{path}{before.data[0]['id']}/"
    tag = ask(world.server, row, **headers).headers["ETag"]
    take(change, world)
    after = ask(world.server, path, **headers, If_None_Match=before.headers["ETag"])
    assert after.status in (401, 403) or (after.status, after.data) == (200, [])
    judged_answer(world, after, None)
    gone = ask(world.server, row, **headers, If_None_Match=tag)
    assert gone.status in (401, 403, 404)
    judged_answer(world, gone, None)


@pytest.mark.parametrize("name", [n for n, p in PROOFS.items() if "websocket" in p.transports])
async def test_what_is_taken_is_not_sent_over_a_websocket_any_more(
    world: World, change: Change, name: str
) -> None:
    proof = PROOFS[name]
    async with talking(world.server.ws, proof.headers(change.user)) as talk:
        await introduced(talk, proof, change.user)
        following = await talk.follow(change.event)
        assert following.replica.rows
        heard = len(talk.heard)
        take(change, world)
        told = await talk.hear_data(change.event)
        if told["action"] == "disconnect":
            assert told["code"] == "revoked"
        else:
            await talk.until(lambda: not following.replica.rows)
        world.program.run("UPDATE app_product SET price = price + 1")
        await talk.ping()
        judge(json.dumps(talk.heard[heard:]), None, world.program)


ENDS = {
    "session": "DELETE FROM django_session WHERE session_key LIKE 'sessionofann%'",
    "token": "DELETE FROM authtoken_token WHERE user_id = 1",
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("prefix", ["bindings", "viewsets"])
def test_a_proof_that_has_ended_is_none_over_http_though_the_client_has_a_tag(
    make_server: MakeServer, world: World, name: str, prefix: str
) -> None:
    headers = named(PROOFS[name].headers(ANN))
    path = f"/{prefix}/members/"
    before = ask(world.server, path, **headers)
    assert before.status == 200
    kept = keep(world.program, name)
    world.program.run(ENDS[name])
    after = ask(world.server, path, **headers, If_None_Match=before.headers["ETag"])
    assert after.status in (401, 403)
    judged_answer(world, after, None)
    give_back(world.program, name, kept)


TABLES = {
    "session": ("django_session", "session_key LIKE 'sessionofann%'"),
    "token": ("authtoken_token", "user_id = 1"),
}


def keep(program: Program, name: str) -> list[tuple[Any, ...]]:
    table, which = TABLES[name]
    return program.run(f"SELECT * FROM {table} WHERE {which}")


def give_back(program: Program, name: str, kept: list[tuple[Any, ...]]) -> None:
    for row in kept:
        marks = ", ".join("?" * len(row))
        program.run(f"INSERT INTO {TABLES[name][0]} VALUES ({marks})", *row)


def test_metrics_name_nobody_and_no_row_after_all_this(world: World) -> None:
    metrics = scrape(world.server)
    judge(metrics.text, None, world.program)
    known = metrics.labels()
    assert not {user.name for user in USERS} & known
    assert not any(token_of(user) in metrics.text for user in USERS)


def test_the_log_has_no_row_and_no_token_after_all_this(world: World) -> None:
    log = world.server.log.read_text()
    judge(log, None, world.program)
    assert not any(token_of(user) in log for user in USERS)
    assert PASSWORD not in log
