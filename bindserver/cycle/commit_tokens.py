"""Tokens that name committed writes, by which a client hears when it holds its own.

A token says on which database the write was, and in which process. It need not say where in that
database's history: whoever shows it does so after the commit, and a snapshot that is taken later
has the write in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.core import signing
from django.db import DEFAULT_DB_ALIAS

from bindserver.cycle.incarnations import incarnations
from bindserver.exceptions import NoToken

SALT = "bindserver.commit"


@dataclass(frozen=True, slots=True)
class Commit:
    """What a token names.

    Attributes:
        alias: the database's.
        is_ours: whether this process has written.
    """

    alias: str
    is_ours: bool


def commit_token(using: str = DEFAULT_DB_ALIAS) -> str:
    """Return a token of all that this thread has written so far, for a client that is to hear when
    it holds that (`io.seen(token)`). Hand it out when that is committed: in an answer, which comes
    behind the transaction that `ATOMIC_REQUESTS` makes, or behind an `atomic` block.

    Args:
        using: the alias of the database that was written to.
    """
    return signing.dumps([using, incarnations.process()], salt=SALT)


def read(token: str) -> Commit:
    """Return what a token names.

    Raises:
        NoToken: it is none of ours.
    """
    try:
        alias, process = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise NoToken("the token names no committed write") from None
    return Commit(alias=alias, is_ours=process == incarnations.process())
