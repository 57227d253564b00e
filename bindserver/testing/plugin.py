"""The pytest plugin: the fixtures `live` and `live_bindserver`.

pytest loads it in every project where bindserver is installed, before Django has its settings: so
it imports nothing of ours until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bindserver.testing.live import Live
    from bindserver.testing.server import LiveServer


@pytest.fixture
def live(db: None) -> Live:
    """Bindings kept live on the test's own connection: `live.subscribe(...)`, `live.settle()`."""
    from bindserver.testing.live import Live

    return Live()


@pytest.fixture
def live_bindserver(transactional_db: None) -> Iterator[LiveServer]:
    """A real server on a free port, on the test database: `.url` and `.ws`."""
    from bindserver.testing.server import serving

    with serving() as server:
        yield server
