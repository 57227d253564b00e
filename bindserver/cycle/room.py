"""Room for views: who may have one more, and which views go to make room for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import islice

from bindserver.conf import conf
from bindserver.cycle.budget import Account, Budget, BudgetFacts, BudgetLimits, Full, Shortage
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.owners import Owner
from bindserver.cycle.shortages import ShortageLog
from bindserver.cycle.weights import VIEW_BYTES, weight_of
from bindserver.exceptions import NoRoom

LOOK_SECONDS = 1.0
"""After so long an owner's views are looked at again, though none is known to have been left."""

PART = 10
"""One of so many views goes at a time, so that not each newcomer has to look for some."""

TRIED = 20
"""So many of those who hold a view are asked whether it counts in their share."""


def limits() -> BudgetLimits:
    """Return what the settings allow."""
    return BudgetLimits(
        views=conf.MAX_VIEWS,
        bytes=conf.MAX_VIEWS_BYTES,
        views_share=conf.OWNER_VIEWS_SHARE,
        bytes_share=conf.OWNER_BYTES_SHARE,
    )


class Room:
    """Keeps the views of one cycle within their budget.

    Args:
        alias: the database.
        holders: yields whose subscriptions a view has, and who waits for its rows.
        idle: returns those of some views, or of all, that nobody looks at.
        drop: drops views that nobody looks at.

    Attributes:
        budget: what the views take.
        facts: the same, as it was when it was last looked at, for other threads.
    """

    def __init__(
        self,
        alias: str,
        holders: Callable[[LiveView], Iterable[Owner | None]],
        idle: Callable[[Iterable[LiveView] | None], list[LiveView]],
        drop: Callable[[list[LiveView]], None],
    ) -> None:
        self.budget: Budget[LiveView] = Budget(limits())
        self._log = ShortageLog(alias)
        self._kept: LiveView | None = None
        self._holders = holders
        self._idle = idle
        self._drop = drop
        self.facts: BudgetFacts = self.budget.facts()

    def begin(self) -> None:
        """Take what the settings allow now: they are not read for each view."""
        self.budget.limits = limits()

    def look(self) -> None:
        """Have other threads know what there is."""
        self.facts = self.budget.facts(self._log.refused)

    # Views come and go.

    def demand(self, owner: Owner | None, *, views: int = 0, size: int = 0) -> None:
        """See that there is room for so much more; views that nobody looks at go for it.

        Raises:
            NoRoom: there is none.
        """
        while (shortage := self.budget.shortage(owner, views=views, size=size)) is not None:
            if not self._make_room(shortage, views, size):
                raise NoRoom(self._log.refuse(shortage))

    def open(self, live: LiveView, owner: Owner | None) -> None:
        """Count a new view."""
        live.charge = self.budget.open(live, owner, VIEW_BYTES)

    def close(self, live: LiveView) -> None:
        """Count a view no more: it is dropped."""
        if live.charge is not None:
            self.budget.close(live, live.charge)
            live.charge = None

    # Subscriptions come and go.

    def hold(self, live: LiveView, owner: Owner | None) -> None:
        """Take note that a view has a subscription of an owner's."""
        charge = live.charge
        if charge is not None and charge.account.owner == owner:
            charge.holds += 1

    def let_go(self, live: LiveView, owner: Owner | None) -> None:
        """Take note that a view has one less."""
        charge = live.charge
        if charge is None:
            return
        if charge.account.owner == owner:
            charge.holds -= 1
        charge.account.loosened = True

    # Rows come and go.

    def weigh(self, live: LiveView) -> None:
        """Take note of what a view takes now."""
        if (charge := live.charge) is None:
            return
        self.budget.resize(charge, weight_of(live))
        if not live.wanted:
            charge.account.loosened = True
        if self.budget.bytes > self.budget.limits.bytes:
            self._log.note_growth(self.budget.bytes)

    def take_in(self, live: LiveView) -> None:
        """See that there is room for the rows of a view, if nobody has them yet: what somebody
        follows may grow.

        Raises:
            NoRoom: there is none; the view is to forget its rows.
        """
        charge = live.charge
        if charge is None or live.audience:
            self.weigh(live)
            return
        weight = weight_of(live)
        more = weight - charge.bytes
        if more > 0 and self.budget.shortage(charge.account.owner, size=more) is not None:
            charge.needed = weight
            if not live.wanted:
                raise NoRoom  # nobody is to go for what nobody waits for
            self._make_others_pay(live, weight)
            self.demand(charge.account.owner, size=more)
        charge.needed = 0
        self.budget.resize(charge, weight)

    def demand_for(self, live: LiveView, owner: Owner | None) -> None:
        """See that there is room for the rows of a view that there was none for before.

        Raises:
            NoRoom: there is none for whoever asks.
        """
        if live.charge is not None and live.charge.needed:
            self._kept = live
            try:
                self.demand(owner, size=live.charge.needed - live.charge.bytes)
            finally:
                self._kept = None

    def _make_others_pay(self, live: LiveView, weight: int | None = None) -> bool:
        """Have a view count in the share of another who holds it, and who has room for it; return
        whether there is one.

        Args:
            live: the view.
            weight: how many bytes it is to take; None for those that it takes.
        """
        charge = live.charge
        assert charge is not None
        weight = charge.bytes if weight is None else weight
        tried = {charge.account.owner}
        for owner in islice(self._holders(live), TRIED):
            if owner in tried:
                continue
            tried.add(owner)
            if self.budget.has_share(owner, weight):
                holds = sum(one == owner for one in self._holders(live))
                self.budget.hand_over(live, charge, owner, holds)
                return True
        return False

    # What goes.

    def _make_room(self, shortage: Shortage, views: int, size: int) -> bool:
        """Drop views that nobody has looked at for longest, the owner's own first; return whether
        there were any, or there is room without that. Who comes and goes must not keep others
        out."""
        account = self.budget.account(shortage.owner)
        if shortage.full is not Full.TOTAL and self._relieve(account, views, size):
            return True
        if shortage.full is Full.SHARE:
            return False
        idle = self._idle(None)
        idle.sort(key=lambda live: (live not in account.charges, live.used_at))
        return self._evict(idle, views, size, self.budget.views)

    def _relieve(self, account: Account[LiveView], views: int, size: int) -> bool:
        """Count those views elsewhere that an owner has had made and others alone hold, and drop
        some that nobody does; return whether there were any."""
        now = time.monotonic()
        if not account.loosened and now < account.looked_at + LOOK_SECONDS:
            return False
        account.looked_at = now
        left = [live for live, charge in account.charges.items() if not charge.holds]
        idle = sorted(self._idle(left), key=lambda live: live.used_at)
        handed = [live for live in left if live.wanted and self._make_others_pay(live)]
        account.loosened = self._evict(idle, views, size, len(account.charges))
        return account.loosened or bool(handed)

    def _evict(self, idle: list[LiveView], views: int, size: int, of: int) -> bool:
        """Drop the first ones of some views, a part of all and as many as are needed; return
        whether there were any.

        Args:
            idle: views that nobody looks at.
            views: how many are needed.
            size: how many bytes are.
            of: how many views there are.
        """
        gone: list[LiveView] = []
        freed = 0
        for live in idle:
            if live is self._kept:
                continue
            if len(gone) > of // PART and len(gone) >= views and freed >= size:
                break
            gone.append(live)
            freed += 0 if live.charge is None else live.charge.bytes
        self._drop(gone)
        return bool(gone)
