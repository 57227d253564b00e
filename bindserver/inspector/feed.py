"""What the page follows: an event over the same WebSocket as all bindings, and no binding's.

A binding's rows come from a queryset, in a snapshot, by a turn of the cycle. Those here come from
memory, and are wanted most when no turn can be taken: so a thread of their own looks at what the
other threads keep, once in a second at most, and only while somebody follows it. That thread waits
for no database: who asks is looked up by another one, and questions are answered by a third.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable

from bindserver.bindings.refusals import code_of_end
from bindserver.conf import conf
from bindserver.cycle.delivery import Fanout, Outbound
from bindserver.cycle.inbox import Caller, SessionRequest, SubscriptionRef
from bindserver.engine.effects import Ask, CatchUp, Reconsider, Release
from bindserver.engine.events import Accepted, Answered, Ended, Published, Rejected, Unsubscribed
from bindserver.engine.protocol import Code, Subscribe, Unsubscribe
from bindserver.exceptions import Refusal, Unavailable
from bindserver.forks import on_fork, working
from bindserver.inspector.asked import EVENT, KEY, Inquiry, asked_of
from bindserver.inspector.facts import Facts
from bindserver.inspector.lookups import Admitted, Declined, Done, Found, LookedUp, Lookups
from bindserver.inspector.topic import Topic
from bindserver.logs import Repeats
from bindserver.user_code import contained

_repeats = Repeats(logging.getLogger("bindserver.inspector"))

LOOK_SECONDS = 1.0
"""Facts are looked at so often at most, ..."""

SHARE = 20
"""... and so rarely that looking takes no more than a twentieth of the time."""

NEVER = float("inf")


Item = SessionRequest | LookedUp


class InspectorFeed:
    """Tells those who may inspect what there is.

    Args:
        look_seconds: how often facts are looked at, at most.
    """

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._lookups = Lookups(self._hand_in)
        self.forget()

    def forget(self) -> None:
        """Begin without threads, as a process must after a fork."""
        self._bell = threading.Condition()
        self._thread: threading.Thread | None = None
        self._lookups.forget()
        self._stopping = False
        self._clear()

    def _clear(self) -> None:
        self._inbox: deque[Item] = deque()
        self._known: set[SubscriptionRef] = set()
        self._topics: dict[str, Topic] = {}
        self._topic_of: dict[SubscriptionRef, Topic] = {}
        self._fanout = Fanout()
        self._look_at = self._recheck_at = NEVER

    # From other threads.

    def take(self, request: SessionRequest) -> None:
        """Take what a session wants."""
        with self._bell:
            match request.effect:
                case Release() if request.ref not in self._known:
                    return
                case Release():
                    self._known.discard(request.ref)
                case Ask(message=Subscribe()):
                    self._known.add(request.ref)
            self._hand_in(request)
            if self._thread is None or not self._thread.is_alive():
                # Not supervised: a server must not end because its inspector fails.
                name = "bindserver-inspector"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the threads, and wait until they have."""
        with self._bell:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._bell.notify()
        if thread is not None:
            thread.join()
        self._lookups.stop()
        with self._bell:
            self._stopping = False
            self._clear()

    def _hand_in(self, item: Item) -> None:
        with self._bell:
            self._inbox.append(item)
            self._bell.notify()

    # The thread.

    def _run(self) -> None:
        while True:
            with self._bell:
                self._bell.wait_for(self._is_due, self._pause())
                items = list(self._inbox)
                self._inbox.clear()
                if self._stopping or not (items or self._known):
                    self._thread = None  # whoever comes next begins another
                    return
            for item in items:
                if isinstance(item, Done):
                    item.errands.done()
            try:
                with working, contained():
                    self._turn(items)
            except Exception as problem:
                _repeats.note("the inspector has failed", problem)
                self._end_all(items)

    def _is_due(self) -> bool:
        return bool(self._inbox) or self._stopping or not self._known

    def _pause(self) -> float | None:
        until = min(self._look_at, self._recheck_at)
        return None if until == NEVER else max(0.0, until - time.monotonic())

    def _end_all(self, items: Iterable[Item]) -> None:
        """End what is followed, and refuse what was asked: nobody knows what is lacking."""
        outbound = Outbound()
        outbound.add(self._topic_of, Ended(code=Code.UNAVAILABLE))
        refs = {item.ref for item in items if isinstance(item, SessionRequest | Admitted)}
        refs = {ref for ref in refs if ref in self._known and ref not in self._topic_of}
        outbound.add(refs, Rejected(code=Code.UNAVAILABLE, detail=str(Unavailable())))
        with self._bell:
            self._known.difference_update(self._topic_of, refs)
        self._topic_of.clear()
        self._topics.clear()
        self._look_at = self._recheck_at = NEVER
        self._fanout.send(outbound, "", frozenset())

    def _turn(self, items: Iterable[Item]) -> None:
        outbound, now = Outbound(), time.monotonic()
        for item in items:
            self._deal_with(item, outbound)
        if now >= self._look_at:
            self._look(outbound)
        if now >= self._recheck_at:
            self._recheck()
        self._fanout.send(outbound, f"{EVENT} {now}", frozenset())
        self._look_at = min(self._look_at, now + self._look_seconds) if self._topics else NEVER
        recheck_at = min(self._recheck_at, now + conf.REVALIDATE_SECONDS)
        self._recheck_at = recheck_at if self._topic_of else NEVER

    def _look(self, outbound: Outbound) -> None:
        """Tell what has changed since the last look."""
        began, facts = time.monotonic(), Facts()
        for topic in self._topics.values():
            if frames := topic.take(facts.rows(topic.asked)):
                outbound.add(topic.refs, Published(frames=frames, version=topic.version))
        now = time.monotonic()
        self._look_at = now + max(self._look_seconds, SHARE * (now - began))

    def _deal_with(self, item: Item, outbound: Outbound) -> None:
        match item:
            case Admitted(ref=ref, caller=caller, asked=asked) if ref in self._known:
                self._admit(ref, caller, asked, outbound)
            case Declined(ref=ref, refusal=refusal) if ref in self._known:
                self._refuse(ref, refusal, outbound)
            case Found(ref=ref, rows=rows) if ref in self._topic_of:
                self._topic_of[ref].take(rows)
                self._answer(ref, outbound)
            case SessionRequest():
                try:
                    self._serve(item, outbound)
                except Refusal as refusal:
                    self._refuse(item.ref, refusal, outbound)

    # What sessions want.

    def _serve(self, request: SessionRequest, outbound: Outbound) -> None:
        ref = request.ref
        match request.effect:
            case Ask(message=Subscribe(params=params)):
                self._lookups.admit({ref: (request.caller, asked_of(params))})
            case Ask(message=Unsubscribe(params=params)):
                text = asked_of(params).text
                outbound.add([ref], Unsubscribed(params=text, takes_params=True))
            case CatchUp():
                self._answer(ref, outbound)
            case Reconsider() if ref in self._topic_of:
                self._lookups.admit({ref: (request.caller, self._topic_of[ref].asked)})
            case Release():
                self._leave(ref)

    def _admit(
        self, ref: SubscriptionRef, caller: Caller, asked: Inquiry, outbound: Outbound
    ) -> None:
        """Begin what somebody may have; where it has begun before, they go on."""
        topic = self._topic_of.get(ref)
        if topic is not None:
            topic.refs[ref] = caller
            return
        if asked.is_question:
            topic = Topic(asked)
            try:
                self._lookups.answer(ref, caller, asked)
            except Unavailable as refusal:
                self._refuse(ref, refusal, outbound)
                return
        else:
            topic = self._topics.setdefault(asked.text, Topic(asked))
            if not topic.refs:
                topic.take(Facts().rows(asked))
        topic.refs[ref] = caller
        self._topic_of[ref] = topic
        outbound.add([ref], Accepted(params=asked.text, takes_params=True, key=KEY, ordered=True))
        if not asked.is_question:
            self._answer(ref, outbound)

    def _answer(self, ref: SubscriptionRef, outbound: Outbound) -> None:
        topic = self._topic_of.get(ref)
        if topic is not None:
            outbound.add([ref], Answered(frames=topic.all(), version=topic.version))

    def _refuse(self, ref: SubscriptionRef, refusal: Refusal, outbound: Outbound) -> None:
        """Say that something is not to be had, or not any more."""
        followed = ref in self._topic_of and not self._topic_of[ref].asked.is_question
        event = Rejected(code=refusal.code, detail=str(refusal))
        outbound.add([ref], Ended(code=code_of_end(refusal)) if followed else event)
        self._leave(ref)
        with self._bell:
            self._known.discard(ref)

    def _leave(self, ref: SubscriptionRef) -> None:
        topic = self._topic_of.pop(ref, None)
        if topic is None:
            return
        topic.refs.pop(ref, None)
        if not topic.refs:
            self._topics.pop(topic.asked.text, None)

    def _recheck(self) -> None:
        """Ask again who may see this: a connection knows its user as they were when it began."""
        self._recheck_at = time.monotonic() + conf.REVALIDATE_SECONDS
        wanted = {ref: (topic.refs[ref], topic.asked) for ref, topic in self._topic_of.items()}
        self._lookups.admit_again(wanted)


feed = InspectorFeed()
"""This process's."""

on_fork(feed.forget)
