"""On PYTHONPATH, has a process be one where httptools is not installed: uvicorn then takes h11."""

import sys

sys.modules["httptools"] = None  # type: ignore[assignment]
