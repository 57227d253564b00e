"""Odd frames, params, cursors, headers, paths and query strings, drawn by a seeded generator."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

EVENTS = ("products", "catalogue", "in_category", "part", "tags", "members", "cheapest", "words")
"""Bindings of the tests' app that serve whoever asks rightly."""

OWN = ("$auth", "$hello", "$ping", "$await", "$error", "$subscribed", "$commit", "$", "error")

TEXTS = (
    *("", "\x00", "\ud800", "\udfffx", "a\r\nb", "é", "日本語", "😀", "%", "../..", "' OR 1=1 --"),
    *("NaN", "-0", "1e400", "٣", "\u2028", "\u202e", "__class__", "{}", "null", "\\", "\x7f"),
)

NUMBERS = (0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 5e-324)


def text(rng: random.Random) -> str:
    """Return a string, mostly short."""
    some = [rng.choice(TEXTS), chr(rng.randrange(0x110000)), "x" * rng.choice((1, 129, 5_000))]
    return "".join(rng.choices(some, k=rng.randrange(4)))


def value(rng: random.Random, depth: int = 3) -> Any:
    """Return any JSON value."""
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice((None, True, False)),
        lambda: rng.choice(NUMBERS),
        lambda: text(rng),
        lambda: rng.randrange(-10, 10),
    ]
    if depth:
        kinds.append(lambda: [value(rng, depth - 1) for _ in range(rng.randrange(4))])
        kinds.append(lambda: {text(rng): value(rng, depth - 1) for _ in range(rng.randrange(4))})
    return rng.choice(kinds)()


def cursor(rng: random.Random, known: str) -> Any:
    """Return a cursor that is none: one bent, cut, doubled, or another thing altogether."""
    at = rng.randrange(len(known))
    return rng.choice(
        [
            known[:at] + rng.choice("abcXYZ_-=+/ ") + known[at + 1 :],
            known[:at],
            known[at:] + known[:at],
            known * 2,
            known[: rng.choice((16, 22, 64, 127))],
            "".join(rng.choices("ABCDabcd0123-_", k=rng.choice((1, 22, 128, 256, 512, 513)))),
            value(rng),
        ]
    )


def params(rng: random.Random) -> Any:
    """Return params, right ones among them."""
    names = ("category", "q", "limit", "page", "live", "cursor", text(rng))
    some = {rng.choice(names): value(rng, 2) for _ in range(rng.randrange(4))}
    return rng.choice([some, {"category": rng.randrange(3)}, value(rng)])


def held(rng: random.Random) -> Any:
    """Return a list of keys, odd ones in it."""
    some = [value(rng, 1) for _ in range(rng.randrange(5))]
    return rng.choice([some, list(range(rng.randrange(5_000))), [text(rng)] * 50, value(rng)])


def frame(rng: random.Random, known: str) -> str | bytes:
    """Return a frame: mostly a message with a field that is odd, else no message at all."""
    data = {
        "params": params(rng),
        "cursor": rng.choice([known, cursor(rng, known)]),
        "held": held(rng),
        "page_size": rng.choice([1, 500, value(rng)]),
        "ref": rng.choice([1, value(rng)]),
        "disconnect": rng.choice([True, False, value(rng)]),
        "token": rng.choice([text(rng), value(rng)]),
        "want": rng.choice([["commit"], value(rng)]),
    }
    chosen = {name: data[name] for name in rng.sample(sorted(data), rng.randrange(5))}
    event = rng.choice([rng.choice(EVENTS), rng.choice(EVENTS), rng.choice(OWN), value(rng)])
    message = {"event": event, "data": rng.choice([chosen, chosen, chosen, value(rng)])}
    said = json.dumps(message)
    at = rng.randrange(len(said))
    deep = rng.randrange(3_000)
    return rng.choice(
        [
            *[said] * 8,
            json.dumps(value(rng)),
            said[:at],
            said[:at] + rng.choice('{}[]",:\\ue') + said[at:],
            "[" * deep + "]" * deep,
            '{"event":"products","data":' * 40 + "1" + "}" * 40,
            '{"event":"tags","event":"products","data":{},"data":{"ref":1,"ref":[]}}',
            '{"event":"products","data":{"ref":' + "9" * rng.choice((20, 400, 5_000)) + "}}",
            '{"event":"products","data":{"params":{"category":' + "9" * 5_000 + "}}}",
            '{"event":"products","data":{"ref":1e999,"page_size":-1E-999}}',
            '{"event":"products","data":{"held":[NaN,Infinity]}}',
            "\ufeff" + said,
        ]
    )


ENCODED = ("%00", "%ff", "%c3%28", "%ed%a0%80", "%", "%zz", "%2e%2e", "%2F", "+", "%E2%80%A8", ";")


def _piece(rng: random.Random) -> str:
    letters = "".join(rng.choices("ab1-_.~é", k=rng.randrange(4)))
    return rng.choice(
        [rng.choice(ENCODED), letters, rng.choice(EVENTS), "9" * rng.choice((3, 400))]
    )


def target(rng: random.Random) -> str:
    """Return a request's path and query string, below the bindings' address."""
    event = rng.choice([*EVENTS, *EVENTS, _piece(rng)])
    key = rng.choice(["", "", "1/", f"{_piece(rng)}/", f"{_piece(rng)}{_piece(rng)}"])
    names = ("category", "q", "limit", "format", "page", "cursor", "live", _piece(rng))
    query = "&".join(
        f"{rng.choice(names)}{rng.choice(('=', '=', '', '[]='))}{_piece(rng)}{_piece(rng)}"
        for _ in range(rng.randrange(4))
    )
    return f"/bindings/{event}/{key}{'?' if query else ''}{query}"


METRICS_TOKEN = "0123456789abcdef"
ROUTES = ("/bindings/", "/readyz", "/healthz", "/metrics", "/metrics/", "/readyz/x", "//metrics")
"""What is served besides bindings."""


def query(rng: random.Random) -> str:
    """Return a query string of odd pieces, with its question mark; mostly none."""
    some = [f"{_piece(rng)}={_piece(rng)}{_piece(rng)}" for _ in range(rng.randrange(3))]
    return f"?{'&'.join(some)}" if some else ""


HEADER_NAMES = (
    *("Accept", "Accept-Language", "Authorization", "Cookie", "If-None-Match", "Origin"),
    *("If-Modified-Since", "Content-Type", "X-Forwarded-Proto", "X-Forwarded-For", "x_user"),
    *("Forwarded", "Accept-Encoding", "Accept-Charset", "Upgrade", "Expect"),
    *("Last-Event-ID", "Range", "Referer", "X-HTTP-Method-Override", "Sec-WebSocket-Protocol"),
)

HEADER_VALUES = (
    *("", "*", "*/*", "text/event-stream", "text/html;q=x", "application/json;charset=\x80", ","),
    *("Token \xff\xfe", "Bearer a.b.c", "Bearer \xe9", "Basic !!!", "Basic /w==", "Token  ", "x y"),
    *('"a"', 'W/"', '"' * 50, "bytes=0-", "Thu, 32 Foo 1970", "sessionid=\xff", "a=b; sessionid=x"),
    *(
        "application/json;charset=bz2_codec",
        "a/b;q=" + "0" * 400,
        "a/b;" * 300,
        'a/b;c="' + ";" * 900,
    ),
    *("for=_x;by=[::1", "10.0.0.1, ::ffff:127.0.0.1, %", "en-" + "x" * 600, "gzip;q=NaN, *;q=-1"),
    *(
        'sessionid="\\000aaaaaaaa"',
        "csrftoken=1; =; ;;",
        "https",
        "null",
        "http://[",
        "bindserver.v1",
    ),
)


def headers(rng: random.Random) -> list[tuple[str, str]]:
    """Return some headers, one perhaps twice."""
    return [
        (rng.choice(HEADER_NAMES), rng.choice([*HEADER_VALUES, "z" * 3_000]))
        for _ in range(rng.randrange(4))
    ]


def request(rng: random.Random) -> bytes:
    """Return the bytes of an HTTP request, or of a handshake for the WebSocket."""
    lines = [f"{name}: {said}" for name, said in headers(rng)]
    lines += ["Host: 127.0.0.1", "Connection: close"]
    method = rng.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "FOO"))
    route = f"{rng.choice(ROUTES)}{query(rng)}"
    where = rng.choice([*[target(rng)] * 6, *[route] * 3, f"/ws/?{_piece(rng)}=1"])
    if where.startswith("/metrics") and rng.random() < 0.5:
        lines.insert(0, f"Authorization: Bearer {METRICS_TOKEN}")
    if rng.random() < 0.1:
        method, where = "GET", f"/ws/?token={_piece(rng)}"
        lines[-1] = "Connection: Upgrade"
        lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        lines.append(f"Sec-WebSocket-Key: {rng.choice(['dGhlIHNhbXBsZSBub25jZQ==', 'x'])}")
    head = "\r\n".join([f"{method} {where} HTTP/1.1", *lines])
    return f"{head}\r\n\r\n".encode("utf-8" if rng.random() < 0.2 else "latin-1", "replace")


OPCODES = (0, 1, 2, 3, 7, 8, 9, 10, 11, 15)


def raw_frame(rng: random.Random) -> bytes:
    """Return the bytes of a WebSocket frame, right ones among them: odd bits, opcodes and lengths,
    with or without a mask."""
    payload = rng.choice(
        [b"", b"{}", b"\xff\xfe", b"\x03\xe8", b"\x03", text(rng).encode(errors="replace")]
    )
    first = rng.choice((0x80, 0x80, 0, 0x40, 0xF0)) | rng.choice(OPCODES)
    size = rng.choice((len(payload), len(payload), len(payload), 2**31, 2**63 + 1))
    masked = rng.random() < 0.8
    head = bytes([first]) + _length(size, masked)
    if not masked:
        return head + payload
    mask = rng.randbytes(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def _length(size: int, masked: bool) -> bytes:
    flag = 0x80 if masked else 0
    if size < 126:
        return bytes([flag | size])
    if size < 2**16:
        return bytes([flag | 126]) + size.to_bytes(2)
    return bytes([flag | 127]) + size.to_bytes(8)
