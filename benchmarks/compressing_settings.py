"""Settings of the benchmarks, for a server that compresses for clients that offer it."""

from benchmarks.settings import *  # noqa: F403
from benchmarks.settings import BINDSERVER

BINDSERVER = {**BINDSERVER, "COMPRESSION": True}
