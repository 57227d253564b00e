"""Who asks, as the database says it now: users and proofs, read anew in the turn's snapshot."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet

from bindserver.bindings.binding import Binding
from bindserver.cycle.attached import carry_over, hung_on, is_anew
from bindserver.cycle.inbox import Caller
from bindserver.database.routers import home_of
from bindserver.database.snapshot import guarded, vouch
from bindserver.engine.protocol import canonical
from bindserver.queries.carried import Carried, carried, instances_in
from bindserver.queries.identity import IdentityEncoder, short_digest
from bindserver.queries.values import unwrapped


class Callers:
    """Reads callers anew.

    Args:
        alias: the database.
    """

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def as_now(self, instance: Binding[Any], user: Any, caller: Caller) -> Binding[Any]:
        """Return a binding in the context of a caller whose rows have been read anew."""
        twin = instance.seen_by(user)
        twin.auth = self._proof(caller)
        return twin

    def present(self, caller: Caller, trusted: bool) -> Any:
        """Return the caller's user as the row is now, since old ones remember permissions, and rows
        that they are related to.

        Returns:
            None for one that is gone or inactive; whoever is trusted gets the user as given then,
            and what has been hung on it.
        """
        given = caller.user
        if not isinstance(given, Model) or (trusted and not self.is_here(given)):
            return given
        user = self._row_now(given, given._meta.model)  # its type may be a lazy wrapper's
        vouch(self.alias, self.own_of(caller).tables)
        if user is None or not (trusted or getattr(user, "is_active", True)):
            return given if trusted else None
        return user

    def _proof(self, caller: Caller) -> Any:
        """Return what proves who the caller is as its row is now, with nothing that the old one
        remembers. Once the row is gone it stays what it was: how long that counts is for those to
        say who authenticate, and it may have been good for one look."""
        given = caller.auth
        if not isinstance(given, Model) or given._state.adding or not self.is_here(given):
            return given
        found = self._row_now(given, given._meta.model)
        vouch(self.alias, self.own_of(caller).tables)
        return given if found is None else found

    def _row_now(self, given: Model, model: type[Model]) -> Model | None:
        """Return the row of an instance, read anew, with what authentication has hung on the old
        one; None if it is gone, or the row of an instance that hangs on it."""
        rows = QuerySet[Any](model, using=self._database_of(given))  # managers may hide some
        with guarded(self.alias):
            found: Model | None = rows.filter(pk=given.pk).first()
            if found is not None:
                try:
                    carry_over(given, found)
                except ObjectDoesNotExist:
                    return None
        return found

    def is_elsewhere(self, caller: Caller) -> bool:
        """Return whether the caller's user or proof, or what hangs on them, has its row in another
        database."""
        return any(not self.is_here(one) for one in self._instances_of(caller))

    def own_of(self, caller: Caller) -> Carried:
        """Return the rows of this database that say who the caller is: the user's, the proof's, and
        those of instances that hang on them."""
        return carried(self._instances_of(caller), self.is_here, unsaved=True)

    @staticmethod
    def _instances_of(caller: Caller) -> list[Any]:
        told = [one for one in (caller.user, caller.auth) if isinstance(one, Model)]
        hung = [value for one in told for value in hung_on(one).values() if is_anew(value)]
        return [unwrapped(one) for one in (*told, *instances_in(hung))]

    def _database_of(self, user: Model) -> str:
        """Return the database that a user's row is in: this one, if the row came from a replica of
        it, which may show what was true a while ago."""
        if home_of(user._meta.model) == self.alias:
            return self.alias
        return user._state.db or self.alias

    def is_here(self, instance: Model) -> bool:
        """Return whether an instance's row is in this database."""
        return self._database_of(instance) == self.alias


def context_of(instance: Binding[Any], caller: Caller) -> bytes:
    """Return what is equal for bindings of one class that were asked alike."""
    encoder = IdentityEncoder()
    params = [encoder.encode(instance.params, "params"), canonical(instance.wire_params)]
    own = encoder.items(instance.own_attributes())
    told = [caller.encoded(encoder), params, own]
    # What nobody can look into may be another by now, though it is the same object.
    return short_digest([told, secrets.token_hex(12) if encoder.unshared else ""])
