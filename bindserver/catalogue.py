"""Which views there are, and which binding, caller and params lead to which."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from bindserver.binding import Binding
from bindserver.conf import conf
from bindserver.dependencies import Recorder
from bindserver.engine.changes import Position
from bindserver.engine.protocol import canonical
from bindserver.exceptions import Unavailable
from bindserver.live import LiveView, Subject
from bindserver.queries import Form, Query
from bindserver.registry import BindingClass
from bindserver.snapshot import guarded
from bindserver.wishes import Caller, Ref

SubjectKey = tuple[BindingClass, tuple[str, str, str], str, Form, Binding[Any] | None]


class Catalogue:
    """The views and subjects of one cycle.

    Args:
        alias: the database.
        secret: signs cursors.
    """

    def __init__(self, alias: str, secret: bytes) -> None:
        self._alias = alias
        self._secret = secret
        self._views: dict[str, LiveView] = {}
        self._subjects: dict[SubjectKey, Subject] = {}
        self._subject_of: dict[Ref, Subject] = {}

    def views(self) -> list[LiveView]:
        """Return all views."""
        return list(self._views.values())

    def subjects(self) -> list[Subject]:
        """Return all subjects."""
        return list(self._subjects.values())

    def resolve(
        self,
        binding: BindingClass,
        caller: Caller,
        params: Mapping[str, Any],
        position: Position,
    ) -> tuple[Subject, Binding[Any]]:
        """Return the subject of a binding, caller and params, and the binding in that context.

        Raises:
            Refusal: the params are wrong, or there are too many views.
        """
        instance = binding(user=caller.user, auth=caller.auth, params=params)
        return self._subject(instance, Form.JSON, params, position), instance

    def resolve_instance(self, instance: Binding[Any], form: Form, position: Position) -> Subject:
        """Return the subject of a binding in the context that it already has.

        Raises:
            Refusal: there are too many views.
        """
        return self._subject(instance, form, instance.wire_params, position)

    def _subject(
        self, instance: Binding[Any], form: Form, params: Mapping[str, Any], position: Position
    ) -> Subject:
        caller = Caller(user=instance.user, auth=instance.auth)
        # An instance with attributes of its own stands for itself alone.
        origin = None if instance.is_plain() else instance
        context = (type(instance), caller.identity(), canonical(instance.wire_params))
        subject = self._subjects.get((*context, form, origin))
        if subject is None:
            live, reads = self._view_of(instance, form)
            subject = Subject(
                binding=type(instance),
                caller=caller,
                params=dict(params),
                origin=origin,
                form=form,
                live=live,
                reads=reads,
                position=position,
            )
            self._subjects[(*context, form, origin)] = subject
        subject.live.used_at = time.monotonic()
        return subject

    def resolve_again(self, subject: Subject) -> bool:
        """Ask the subject's binding for its queryset again; tell whether its view is another."""
        subject.caller = self._present(subject.caller)
        user, auth = subject.caller.user, subject.caller.auth
        if subject.origin is not None:
            instance = subject.origin.seen_by(user)
        else:
            instance = subject.binding(user=user, auth=auth, params=subject.params)
        live, subject.reads = self._view_of(instance, subject.form)
        if live is subject.live:
            return False
        for ref in subject.refs:
            subject.live.audience.pop(ref, None)
        subject.live.openings = [o for o in subject.live.openings if o.ref not in subject.refs]
        subject.live = live
        return True

    def _present(self, caller: Caller) -> Caller:
        """Return the caller with the user's row as it is now: old ones remember permissions."""
        if not isinstance(caller.user, Model):
            return caller
        model = caller.user._meta.model  # its type may be a lazy wrapper's
        users = model._base_manager.using(caller.user._state.db or self._alias)
        return Caller(user=users.filter(pk=caller.user.pk).first(), auth=caller.auth)

    def forget(self, subject: Subject) -> None:
        """Drop a subject that serves nobody."""
        self._subjects = {
            key: known for key, known in self._subjects.items() if known is not subject
        }

    def _view_of(self, instance: Binding[Any], form: Form) -> tuple[LiveView, set[str]]:
        recorder = Recorder()
        with guarded(self._alias), recorder.watching(self._alias):
            query = Query(instance, form)
        live = self._views.get(query.identity)
        if live is None:
            if len(self._views) >= conf.MAX_VIEWS:
                raise Unavailable("the server holds as many views as it may; try again later")
            live = self._views[query.identity] = LiveView(query, instance, self._secret)
        reads = recorder.own | recorder.other
        user = instance.user
        if isinstance(user, Model) and user._state.db in (None, self._alias):
            reads.add(user._meta.db_table)
        return live, reads

    def attach(self, ref: Ref, subject: Subject) -> None:
        """Note that a subscription belongs to a subject."""
        subject.refs[ref] = None
        self._subject_of[ref] = subject

    def subject_of(self, ref: Ref) -> Subject | None:
        """Return the subject of a subscription."""
        return self._subject_of.get(ref)

    def release(self, ref: Ref) -> None:
        """Forget a subscription."""
        subject = self._subject_of.pop(ref, None)
        if subject is None:
            return
        subject.refs.pop(ref, None)
        live = subject.live
        live.audience.pop(ref, None)
        live.openings = [opening for opening in live.openings if opening.ref != ref]
        live.used_at = time.monotonic()

    def let_go(self) -> None:
        """Drop the views that nobody has looked at for a while, and subjects that serve nobody.

        A view that stays would else gather a subject for every user who ever came.
        """
        before = time.monotonic() - conf.LINGER_SECONDS
        held = {id(subject.live) for subject in self._subjects.values() if subject.refs}
        old = {
            identity
            for identity, live in self._views.items()
            if not live.wanted and live.used_at < before and id(live) not in held
        }
        for identity in old:
            del self._views[identity]
        self._subjects = {key: subject for key, subject in self._subjects.items() if subject.refs}
