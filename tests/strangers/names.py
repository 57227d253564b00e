"""What a view is called, on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def name_of(event: str, params: Mapping[str, Any]) -> str:
    """Return a view's name: its event, and its params where it has any."""
    return f"{event} {json.dumps(params, sort_keys=True)}" if params else event
