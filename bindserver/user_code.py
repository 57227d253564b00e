"""What a thread has set that changes how values are written: language, time zone, decimals."""

from __future__ import annotations

import asyncio
import decimal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from datetime import tzinfo
from types import TracebackType
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.utils import timezone, translation

from bindserver.exceptions import BindingError, BindserverError

TRIED = 3
"""So many leftovers of a view's rows are kept, for others to be tried in."""

T = TypeVar("T")

R = TypeVar("R")


class _Contained(AbstractContextManager[None]):
    """Keeps nothing, so that one is enough: it is entered several times for each view."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if problem is None or isinstance(problem, Exception):
            return
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and isinstance(problem, KeyboardInterrupt):
            return
        raise BindingError(
            f"A binding's code has raised {type(problem).__name__}, which ends threads; raise an "
            "Exception in its place."
        ) from problem


_CONTAINED = _Contained()


class _ContainedInTask(AbstractContextManager[None]):
    """The same for code that a task awaits, on an event loop that is everybody's."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(problem, GeneratorExit):  # the task is being thrown away
            return
        task = asyncio.current_task()
        if isinstance(problem, asyncio.CancelledError) and task is not None and task.cancelling():
            return  # somebody has cancelled the task itself, such as a time-out
        _CONTAINED.__exit__(kind, problem, trace)


_CONTAINED_IN_TASK = _ContainedInTask()


def contained() -> AbstractContextManager[None]:
    """Run a project's code, and take its attempt to end the thread for a failure: the thread is
    ours, and works for all.

    Python itself interrupts the main thread alone, where that is Ctrl-C.

    Raises:
        BindingError: the code has raised what is no Exception: it has called `sys.exit()`, says
            that it was cancelled, or an extension written in Rust has panicked.
    """
    return _CONTAINED


def contained_in_task() -> AbstractContextManager[None]:
    """Await a project's code in a task, and take its attempt to end the task, or the event loop,
    for a failure. The task itself may be cancelled as ever.

    Raises:
        BindingError: the code has raised what is no Exception.
    """
    return _CONTAINED_IN_TASK


def text_of(problem: BaseException) -> str:
    """Return the text of what a project has raised, which is code of its own and may fail too."""
    try:
        with contained():
            return str(problem)
    except Exception:
        return "its text cannot be told"


def apart(work: Callable[[], R]) -> R:
    """Run a project's code by itself: in LANGUAGE_CODE and TIME_ZONE, and as a new thread does
    arithmetic.

    What the code sets ends with it, as with a request, also in context variables, where libraries
    keep a tenant or a scope: the next that runs in this thread does not inherit it.

    Raises:
        BindingError: the code wants to end the thread.
        Exception: whatever it raises.
    """
    return copy_context().run(_in_neutral, work)


def _in_neutral(work: Callable[[], R]) -> R:
    # These are context variables, which end with the copy of the context: nothing is to be put
    # back, as `neutral` does, and this is done for each view.
    translation.activate(settings.LANGUAGE_CODE)
    timezone.deactivate()
    decimal.setcontext(decimal.DefaultContext)
    with contained():
        return work()


@contextmanager
def neutral() -> Iterator[None]:
    """Run a block in LANGUAGE_CODE and TIME_ZONE, and as a new thread does arithmetic; these end
    with it, and other context variables do not."""
    with (
        translation.override(settings.LANGUAGE_CODE),
        timezone.override(None),
        decimal.localcontext(decimal.DefaultContext),
        contained(),
    ):
        yield


class Surroundings(NamedTuple):
    """The language, the time zone and the arithmetic of a thread: what one part of a binding has
    set holds for the others, as within a request, whenever these run.

    Attributes:
        language: the language; None where translations are off.
        zone: the time zone.
        digits: how many digits decimals are computed with.
        rounding: how they are rounded.
    """

    language: str | None
    zone: tzinfo
    digits: int
    rounding: str

    @classmethod
    def now(cls) -> Surroundings:
        """Return those of this thread."""
        language, zone = translation.get_language(), timezone.get_current_timezone()
        return cls(language, zone, *_arithmetic())

    @contextmanager
    def around(self) -> Iterator[None]:
        """Run a project's code in these; what it sets itself ends with the block."""
        with (
            translation.override(self.language),
            timezone.override(self.zone),
            decimal.localcontext(prec=self.digits, rounding=self.rounding),
        ):
            yield

    def put_back(self) -> None:
        """Have this thread be in these again."""
        if self.language is None:
            translation.deactivate_all()
        else:
            translation.activate(self.language)
        timezone.activate(self.zone)
        context = decimal.getcontext()
        context.prec, context.rounding = self.digits, self.rounding


def _arithmetic() -> tuple[int, str]:
    context = decimal.getcontext()
    return context.prec, context.rounding


class Untried(BindserverError):
    """What some rows leave set may show in others, which were not read: read the view whole."""


class Leftovers:
    """What the rows of one view leave set for those after them: a language, a time zone.

    Which rows come before another is nothing that a live row may depend on: some are rendered
    again without the others. So each is rendered in the same surroundings, and once more in what
    others have left set. Where that makes no difference, it is what DRF renders in any order.
    """

    def __init__(self) -> None:
        self._left: list[Surroundings] = []
        self._untried = False
        self._is_whole = False

    def render(self, render: Callable[[], T], whose: str) -> T:
        """Return what `render` returns, with the surroundings as they were.

        Args:
            render: renders a row; it is called again for what rows leave set.
            whose: whose code that is, for an error.

        Raises:
            BindingError: what it returns depends on what was rendered before.
            Untried: so it seems.
        """
        # Languages and zones are context variables: of a context that has not changed, neither has.
        context, arithmetic = copy_context(), _arithmetic()
        rendered = render()
        if context != copy_context() or arithmetic != _arithmetic():
            language, zone, *_ = context.run(Surroundings.now)
            self._see(Surroundings(language, zone, *arithmetic))
        for left in self._left:
            with left.around():
                again = render()
            if again != rendered:
                raise BindingError(_depends(whose)) if self._is_whole else Untried
        return rendered

    def _see(self, before: Surroundings) -> None:
        """Note what a row has left set, and put back what was before."""
        left = Surroundings.now()
        if left == before:
            return
        before.put_back()
        if left not in self._left and len(self._left) < TRIED:
            self._left.append(left)
            self._untried = True

    def whole(self, read: Callable[[], T]) -> T:
        """Return what `read` reads, the whole view; it is called until its rows were tried in all
        that they leave set."""
        self._left.clear()
        self._is_whole = self._untried = True
        try:
            while self._untried:
                self._untried = False
                found = read()
        except BaseException:
            self._untried = True
            raise
        finally:
            self._is_whole = False
        return found

    def insist(self) -> None:
        """Insist that all rows of the view were tried in what those leave set that were read.

        Raises:
            Untried: they were not.
        """
        if self._untried:
            raise Untried


class _NoLeftovers(Leftovers):
    """Of rows that no code of the project's own renders: they leave nothing set."""

    def render(self, render: Callable[[], T], whose: str) -> T:
        """Return what `render` returns."""
        return render()

    def whole(self, read: Callable[[], T]) -> T:
        """Return what `read` returns."""
        return read()


NO_LEFTOVERS = _NoLeftovers()


def _depends(whose: str) -> str:
    """Return the words that a row depends on those before it."""
    return (
        f"{whose} activates a language, a time zone or a decimal context while it renders a row, "
        "and leaves it so; the next row looks otherwise after that, so that rows would depend on "
        "which of them are rendered before. Use translation.override(), timezone.override() or "
        "decimal.localcontext() there, or activate it in the binding's get_queryset()."
    )
