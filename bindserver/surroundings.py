"""What a thread has set that changes how values are written: language, time zone, decimals."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils import timezone, translation


@contextmanager
def neutral() -> Iterator[None]:
    """Run a project's code in LANGUAGE_CODE and TIME_ZONE, and as a new thread does arithmetic.

    What the code sets ends with the block, as with a request: the next that runs in this thread
    does not inherit it.
    """
    with (
        translation.override(settings.LANGUAGE_CODE),
        timezone.override(None),
        decimal.localcontext(decimal.DefaultContext),
    ):
        yield
