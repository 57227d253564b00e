"""Bindings in programs that serve nothing: scripts, shells, forked children."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from tests.support.server import ROOT
from tests.support.shop import Shop


class TestProcesses:
    def test_a_forked_child_begins_without_the_parents_threads(self, shop: Shop) -> None:
        shop.add_products(2)
        script = """
            import os, django
            django.setup()
            from bindserver import Binding
            from tests.app.models import Product
            from django.db import connections
            print(len(Binding(model=Product)), flush=True)
            connections.close_all()
            child = os.fork()
            if child == 0:
                print(len(Binding(model=Product)), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=ROOT,
            env=environment(shop.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.split() == ["2", "2"], done.stderr

    def test_importing_and_asking_in_a_script(self, shop: Shop) -> None:
        shop.add_products(2)
        script = "from bindserver import Binding; from tests.app.models import Product; "
        script += "b = Binding(model=Product); print(b.keys(), b.get(1).name)"
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-v0", "-c", script],
            cwd=ROOT,
            env=environment(shop.url),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.strip() == "[1, 2] product 1", done.stderr


def environment(url: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
