"""What system checks refuse is refused again by whoever serves it: many servers run no checks.

An error of a binding refuses that binding. An error of the project around refuses every binding,
and the start of a server that asks beforehand. Warnings are logged once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.core.checks import ERROR, CheckMessage
from django.core.checks.registry import registry as django_checks
from django.core.signals import setting_changed

from bindserver.bindings.importing import load_views
from bindserver.bindings.registry import BindingClass, registry
from bindserver.checks import TAG, check_bindings
from bindserver.checks.bindings import problems_of, twins_of
from bindserver.exceptions import Unsound
from bindserver.forks import on_fork
from bindserver.user_code import contained

T = TypeVar("T")
logger = logging.getLogger("bindserver.checks")


class Soundness:
    """What is wrong with bindings and with the project, found once and remembered."""

    def __init__(self) -> None:
        self.unlock()
        self.forget()

    def unlock(self) -> None:
        """Begin with a lock that nobody holds, as a process must after a fork."""
        self._lock = threading.RLock()

    def forget(self, **_: Any) -> None:
        """Look anew at the next question, as when settings have changed."""
        self._own: WeakKeyDictionary[BindingClass, list[CheckMessage]] = WeakKeyDictionary()
        self._project: list[CheckMessage] | None = None
        self._references: dict[str, str] = {}
        self._told = False

    def judge(self, binding: BindingClass) -> None:
        """Raise for a binding that must not be served, and log it once.

        Raises:
            Unsound: it, its twin, or the whole project has an error.
        """
        with self._lock:
            for message in self._errors_of(binding):
                reason = said(message)
                name = f"{binding.__module__}.{binding.__qualname__} is not served"
                whose = name if isinstance(message.obj, type) else "no binding is served"
                raise Unsound(self._refer(f"{whose}: {reason}"), reason, debug=settings.DEBUG)

    def begin(self) -> list[str]:
        """Look at all that is going to be served, and log what is wrong.

        Returns:
            The errors of the whole project, for which no server should start.
        """
        return _off_the_loop(self._begin)

    def _begin(self) -> list[str]:
        load_views()  # views publish bindings as well
        with self._lock:
            if not self._told:
                self._told = True
                self._tell()
            wrong = [said(m) for m in self._errors_around() if not isinstance(m.obj, type)]
        for reason in wrong:
            self._refer(f"no binding is served: {reason}")
        return wrong

    def _tell(self) -> None:
        for binding in registry.all():
            registry.is_sound(binding)
        for message in django_checks.run_checks(tags=[TAG]):
            if not is_serious(message):
                if not message.is_silenced():
                    logger.warning("bindserver: %s", said(message))
            elif isinstance(
                message.obj, str
            ):  # a module; bindings and the project have their lines
                logger.error("bindserver: %s", said(message))

    def _errors_of(self, binding: BindingClass) -> Iterable[CheckMessage]:
        for message in self._errors_around():
            if message.obj is binding or not isinstance(message.obj, type):
                yield message
        if binding not in self._own:
            found = _off_the_loop(lambda: problems_of(binding))
            self._own[binding] = [message for message in found if is_serious(message)]
        yield from self._own[binding]
        yield from twins_of(binding, registry.published())

    def _errors_around(self) -> list[CheckMessage]:
        """Return what the other checks find: about a binding, their object, or about all."""
        if self._project is None:
            found: list[CheckMessage] = []
            of_bindings: Any = check_bindings
            for check in django_checks.get_checks():
                if TAG in check.tags and check is not of_bindings:
                    with contained():
                        found.extend(check(app_configs=None, databases=None))
            self._project = [message for message in found if is_serious(message)]
        return self._project

    def _refer(self, refusal: str) -> str:
        """Return the reference by which the log has a refusal; it is logged the first time."""
        reference = self._references.get(refusal)
        if reference is None:
            reference = self._references[refusal] = secrets.token_hex(4)
            logger.error("bindserver: %s (reference %s)", refusal, reference)
        return reference


def _off_the_loop(work: Callable[[], T]) -> T:
    """Do something that may read the database, which Django forbids where an event loop runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def is_serious(message: CheckMessage) -> bool:
    """Return whether a message refuses what it is about."""
    return message.level >= ERROR


def said(message: CheckMessage) -> str:
    """Return a message as one line: its id, what is wrong, and what to do."""
    hint = f" {message.hint}" if message.hint else ""
    return f"({message.id}) {message.msg}{hint}"


soundness = Soundness()
"""What this process knows of its bindings."""

on_fork(soundness.unlock)
setting_changed.connect(soundness.forget, dispatch_uid="bindserver.checks.soundness")
