"""How many views there may be, and how many bytes they may take: in all, and for each owner.

Two rules keep a few from taking all. No owner has more than a share of it; and nobody gets more who
has more than is left for all others. By the second one there is always something left for who has
little, however many come who want as much as they can get: Choudhury and Hahne's dynamic thresholds
("Dynamic queue length thresholds for shared-memory packet switches", 1998).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from heapq import nlargest
from typing import Generic, NamedTuple, TypeVar

from bindserver.cycle.owners import Owner

TOP_OWNERS = 10
"""So many owners are told of, those who have most."""

V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """What there may be.

    Attributes:
        views: how many views.
        bytes: how many bytes of all views.
        views_share: which share of the views one owner may have; 1 for any.
        bytes_share: the same of the bytes.
    """

    views: int
    bytes: int
    views_share: float
    bytes_share: float


class Full(Enum):
    """What is used up: an owner's share, what is left for one who has so much, or all there is."""

    SHARE = "share"
    REST = "rest"
    TOTAL = "total"


class Shortage(NamedTuple):
    """Why there is no room.

    Attributes:
        full: what is used up.
        of_bytes: whether it is one of bytes; else one of views.
        owner: whose views were to be more.
    """

    full: Full
    of_bytes: bool
    owner: Owner | None


@dataclass(slots=True, eq=False)
class Charge(Generic[V]):
    """What one view takes, and in whose share that counts.

    Attributes:
        account: the owner's.
        bytes: what the view takes now.
        needed: what its rows would have taken, where there was no room for them.
        holds: how many subscriptions of the owner it has.
    """

    account: Account[V]
    bytes: int = 0
    needed: int = 0
    holds: int = 0


@dataclass(slots=True, eq=False)
class Account(Generic[V]):
    """What one owner has.

    Attributes:
        owner: whose it is; None for code of the server's own, which has no share.
        charges: those of the views that count here.
        bytes: what these take.
        loosened: whether some of them may count elsewhere by now, or not at all.
        looked_at: when that was looked at, on the monotonic clock.
    """

    owner: Owner | None
    charges: dict[V, Charge[V]] = field(default_factory=dict)
    bytes: int = 0
    loosened: bool = False
    looked_at: float = 0.0


class OwnerUse(NamedTuple):
    """What one owner has, as operators are told.

    Attributes:
        kind: the user's model; None for an anonymous client, whose address is not told.
        key: the user's key; None for an anonymous client.
    """

    kind: str | None
    key: str | None
    views: int
    bytes: int


class BudgetFacts(NamedTuple):
    """What the views of a database take, as operators are told.

    Attributes:
        views: how many there are.
        bytes: what they take.
        limits: what there may be.
        owners: those who have most bytes, and those who have most views.
        refused: how often there was no room, since the process began.
    """

    views: int
    bytes: int
    limits: BudgetLimits
    owners: tuple[OwnerUse, ...]
    refused: int


class Budget(Generic[V]):
    """What the views of one cycle take. Its thread alone changes it.

    Args:
        limits: what there may be.

    Attributes:
        bytes: what all views take.
        views: how many there are.
    """

    def __init__(self, limits: BudgetLimits) -> None:
        self.limits = limits
        self.bytes = 0
        self.views = 0
        self._accounts: dict[Owner | None, Account[V]] = {}

    def account(self, owner: Owner | None) -> Account[V]:
        """Return what an owner has."""
        account = self._accounts.get(owner)
        return Account(owner) if account is None else account

    def open(self, view: V, owner: Owner | None, size: int) -> Charge[V]:
        """Count a new view.

        Args:
            view: the view.
            owner: who had it made.
            size: how many bytes it takes.
        """
        account = self._accounts.setdefault(owner, self.account(owner))
        charge = account.charges[view] = Charge(account, size)
        account.bytes += size
        self.bytes += size
        self.views += 1
        return charge

    def resize(self, charge: Charge[V], size: int) -> None:
        """Take note of how many bytes a view takes now."""
        grown = size - charge.bytes
        charge.bytes = size
        charge.account.bytes += grown
        self.bytes += grown

    def close(self, view: V, charge: Charge[V]) -> None:
        """Count a view no more."""
        if self._leave(view, charge):
            self.bytes -= charge.bytes
            self.views -= 1

    def hand_over(self, view: V, charge: Charge[V], owner: Owner | None, holds: int) -> None:
        """Count a view for another owner.

        Args:
            view: the view.
            charge: its own.
            owner: the other.
            holds: how many subscriptions of theirs it has.
        """
        self._leave(view, charge)
        account = self._accounts.setdefault(owner, self.account(owner))
        account.charges[view], charge.account, charge.holds = charge, account, holds
        account.bytes += charge.bytes

    def _leave(self, view: V, charge: Charge[V]) -> bool:
        account = charge.account
        if account.charges.pop(view, None) is None:
            return False
        account.bytes -= charge.bytes
        if not account.charges:
            self._accounts.pop(account.owner, None)
        return True

    def shortage(self, owner: Owner | None, *, views: int = 0, size: int = 0) -> Shortage | None:
        """Return why an owner may not have so much more; None if they may.

        Args:
            owner: who wants it.
            views: how many views more.
            size: how many bytes more.
        """
        account, limits = self.account(owner), self.limits
        if views:
            had, left = len(account.charges), limits.views - self.views
            share = 1.0 if owner is None else limits.views_share
            full = _full(had, views, left, share, limits.views)
            if full is not None:
                return Shortage(full, False, owner)
        if size > 0:
            left = limits.bytes - self.bytes
            share = 1.0 if owner is None else limits.bytes_share
            full = _full(account.bytes, size, left, share, limits.bytes)
            if full is not None:
                return Shortage(full, True, owner)
        return None

    def has_share(self, owner: Owner | None, size: int) -> bool:
        """Return whether an owner's share has room for one view more, of so many bytes, that there
        is already."""
        account, limits = self.account(owner), self.limits
        return owner is None or not (
            _is_past(len(account.charges) + 1, limits.views, limits.views_share)
            or _is_past(account.bytes + size, limits.bytes, limits.bytes_share)
        )

    def facts(self, refused: int = 0) -> BudgetFacts:
        """Return what operators are told."""
        accounts = list(self._accounts.values())
        most = [
            *nlargest(TOP_OWNERS, accounts, key=lambda account: account.bytes),
            *nlargest(TOP_OWNERS, accounts, key=lambda account: len(account.charges)),
        ]
        owners = tuple(_use(account) for account in dict.fromkeys(most) if account.owner)
        return BudgetFacts(self.views, self.bytes, self.limits, owners, refused)


def _full(had: int, more: int, left: int, share: float, limit: int) -> Full | None:
    """Return what is used up for an owner who has some already; None for nothing.

    Args:
        had: how much they have.
        more: how much more they want.
        left: how much nobody has.
        share: which share of all they may have.
        limit: how much there may be in all.
    """
    if more > left:
        return Full.TOTAL
    if share >= 1:
        return None
    if _is_past(had + more, limit, share):
        return Full.SHARE
    return Full.REST if had + more > left else None


def _is_past(amount: int, limit: int, share: float) -> bool:
    return amount > max(1, int(limit * share))


def _use(account: Account[V]) -> OwnerUse:
    owner = account.owner
    assert owner is not None
    key = None if owner.kind is None else owner.name
    return OwnerUse(owner.kind, key, len(account.charges), account.bytes)
