"""Spans for OpenTelemetry, where the setting TRACING wants them: turns, loads and handshakes.

Without the setting nothing is imported, and a span is one look at it. Who exports the spans, and
where to, is the project's affair: its tracer provider is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from bindserver.conf import conf

Value = str | int | float | bool


class Span(Protocol):
    """What a block may say of what it does."""

    def set_attribute(self, key: str, value: Value) -> None:
        """Add something that was not known before."""


class _Nothing:
    """A span that nobody looks at."""

    def set_attribute(self, key: str, value: Value) -> None:
        """Forget it."""


NOTHING: AbstractContextManager[Span] = nullcontext(_Nothing())


def span(name: str, attributes: Mapping[str, Value] | None = None) -> AbstractContextManager[Span]:
    """Return a span around a block.

    An exception that leaves the block is told by its class alone: its text may quote a row.

    Args:
        name: of the span, as in "bindserver.turn".
        attributes: what it is about; nothing that names a person, and no params.
    """
    return _recorded(name, attributes or {}) if conf.TRACING else NOTHING


@contextmanager
def _recorded(name: str, attributes: Mapping[str, Value]) -> Iterator[Span]:
    from opentelemetry import trace

    tracer = trace.get_tracer("bindserver")
    with tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as found:
        try:
            yield found
        except BaseException as problem:
            found.set_attribute("error.type", type(problem).__qualname__)
            found.set_status(trace.StatusCode.ERROR)
            raise
