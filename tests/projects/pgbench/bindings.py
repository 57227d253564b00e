"""One binding on each of pgbench's tables."""

from __future__ import annotations

from bindserver import Binding
from tests.projects.pgbench.models import Account, Branch, Entry, Teller


class BranchBinding(Binding[Branch]):
    model = Branch
    event = "branches"
    fields = ["bid", "bbalance"]


class TellerBinding(Binding[Teller]):
    model = Teller
    event = "tellers"
    fields = ["tid", "tbalance"]


class AccountBinding(Binding[Account]):
    model = Account
    event = "accounts"
    fields = ["aid", "abalance"]


class HistoryBinding(Binding[Entry]):
    model = Entry
    event = "history"
    fields = ["id", "aid", "delta"]
