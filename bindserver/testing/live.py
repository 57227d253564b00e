"""`Live`: bindings kept live in a test, without a server, a thread or a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Model

from bindserver.bindings.binding import Binding, alias_of
from bindserver.bindings.registry import BindingClass, registry
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.cycle.waiting import EVERYTHING
from bindserver.engine.changes import Key
from bindserver.engine.effects import Ask
from bindserver.exceptions import BindingError, UnknownEvent, Unsound
from bindserver.testing.inline import InlineCycle
from bindserver.testing.keeping import Keeping
from bindserver.testing.subscriber import Data, Subscriber
from bindserver.websocket.views import BoundWebsocketView


class Live:
    """What a server would send, worked out on the test's own connection.

    Nothing runs by itself. What the test has written, committed or not, by the ORM or by raw SQL,
    is looked at when it calls `settle()`, as if it had been committed in that moment.

    Attributes:
        raises: whether what a binding or serializer raises is raised in the test; a client would
            only hear that its rows may be old, or an error without a word of why.
    """

    def __init__(self) -> None:
        self.raises = True
        self._cycles: dict[str, InlineCycle] = {}
        self._subscribers: list[Subscriber] = []

    @property
    def problems(self) -> list[Exception]:
        """What bindings and serializers have raised so far."""
        return [problem for cycle in self._cycles.values() for problem in cycle.problems]

    def subscribe(
        self,
        binding: BindingClass | type[BoundWebsocketView] | str,
        user: Any = None,
        *,
        auth: Any = None,
        params: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        held: Sequence[Key] | None = None,
    ) -> Subscriber:
        """Subscribe, and be answered with all rows. Like `settle()` for everybody else.

        Args:
            binding: the binding's class, or its event, or a view that publishes one.
            user: who subscribes; None for an anonymous user.
            auth: how the user proved it, as DRF's `request.auth`.
            params: the arguments, as a client gives them.
            cursor: a state that the client knows, for what changed since.
            held: the keys of the rows that the client has.

        Raises:
            Refused: the server would not serve it; `code` says why.
            ValueError: the binding has no event, or another one has the same.
            BindingError: a system check refuses the binding.
            Exception: what the binding or its serializer raises.
        """
        wanted = _published(binding)
        if isinstance(user, Model) and user.pk is None:
            raise ValueError("The user is not saved yet; a subscriber has a row in the database.")
        subscriber = Subscriber(
            binding=wanted,
            caller=Caller(user=user, auth=auth),
            params=params or {},
            cycle=self._cycle(alias_of(wanted)).ask,
            commit=self._commit,
        )
        subscriber.open(cursor=cursor, held=held)
        self._subscribers.append(subscriber)
        return subscriber

    def keep(self, binding: BindingClass | type[BoundWebsocketView] | Binding[Any] | str) -> None:
        """Keep a binding live as a server does that overrides `message()`: it hears its rows at
        once as "sync", and its changes with each `settle()`.

        Args:
            binding: the binding or its class, its event, or a view that publishes one.

        Raises:
            Exception: what its `message()`, itself or its serializer raises.
        """
        if not isinstance(binding, Binding):
            binding = (_published(binding) if isinstance(binding, str) else _class_of(binding))()
        cycle = self._cycle(alias_of(binding))
        keeping = Keeping(binding, cycle.problems)
        caller = Caller(user=binding.user, auth=binding.auth)
        cycle.ask(SessionRequest(keeping, caller, Ask(number=1, message=EVERYTHING), binding))
        self._commit()

    def settle(self) -> dict[Subscriber, list[Data]]:
        """Send what has changed since the last time, as one committed state.

        Returns:
            The new frames of each subscriber who got any; so it is empty where nobody did.

        Raises:
            Exception: what a binding or a serializer raises, unless `raises` is false.
        """
        before = {subscriber: len(subscriber.frames) for subscriber in self._subscribers}
        self._commit()
        return {
            subscriber: subscriber.frames[count:]
            for subscriber, count in before.items()
            if len(subscriber.frames) > count
        }

    async def asubscribe(self, *args: Any, **kwargs: Any) -> Subscriber:
        """Do as `subscribe` does, where Django's own async queries run."""
        return await sync_to_async(self.subscribe, thread_sensitive=True)(*args, **kwargs)

    async def asettle(self) -> dict[Subscriber, list[Data]]:
        """Do as `settle` does, where Django's own async queries run."""
        return await sync_to_async(self.settle, thread_sensitive=True)()

    def _cycle(self, alias: str) -> InlineCycle:
        if alias not in self._cycles:
            self._cycles[alias] = InlineCycle(alias)
        return self._cycles[alias]

    def _commit(self) -> None:
        known = len(self.problems)
        for cycle in self._cycles.values():
            cycle.commit()
        new = self.problems[known:]
        if new and self.raises:
            for other in new[1:]:
                new[0].add_note(f"And another binding raised: {other!r}")
            raise new[0]


def _published(binding: BindingClass | type[BoundWebsocketView] | str) -> BindingClass:
    """Return the binding that a server serves under the event."""
    if isinstance(binding, str):
        try:
            return _sound(registry.find(binding))
        except UnknownEvent:
            raise ValueError(f"No binding has the event {binding!r}.") from None
    binding = _class_of(binding)
    if binding.event is None:
        raise ValueError(
            f"{binding.__name__} has no event, so nobody can subscribe to it; "
            'write `event = "a name"` in it.'
        )
    served = registry.find(binding.event)
    if served is not binding:
        raise ValueError(f"{binding.event!r} is the event of {served.__name__}, too.")
    return _sound(binding)


def _sound(binding: BindingClass) -> BindingClass:
    try:
        registry.judge(binding)
    except Unsound as refusal:
        raise BindingError(refusal.reason) from None
    return binding


def _class_of(binding: BindingClass | type[BoundWebsocketView]) -> BindingClass:
    if not issubclass(binding, BoundWebsocketView):
        return binding
    if binding.published is None:
        raise ValueError(f"{binding.__name__} publishes nothing: it needs a binding and an event.")
    return binding.published
