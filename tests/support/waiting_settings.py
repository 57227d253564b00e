"""The tests' project with a page that waits for the test; and broken, once the test says so."""

import os
from pathlib import Path

from tests.settings import *

ROOT_URLCONF = "tests.support.waiting_urls"

if Path(os.environ["SIGNS"], "broken").exists():
    raise RuntimeError("this deploy is broken")
