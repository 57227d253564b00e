"""Settings of the tests, on a system that tells of no writes to files."""

from bindserver.capture.sqlite import inotify
from tests.settings import *  # noqa: F403

inotify.TELLING.clear()
