"""A user's project, with the tests that docs/testing.md shows: run as users run theirs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from bindserver.testing import Live, Subscriber
from tests.projects.users.project import ROOT, make_project, run, run_django, run_pytest

BY_DJANGO = ["shop.tests.test_orders", "shop.tests.test_async"]
BY_PYTEST = [
    "shop/tests/test_orders.py",
    "shop/tests/test_with_pytest.py",
    "shop/tests/test_async.py",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


@pytest.mark.parametrize("on_disk", [True, False], ids=["in a file", "in memory"])
def test_the_guide_s_tests_pass_with_django_s_runner(tmp_path: Path, on_disk: bool) -> None:
    done = run_django(make_project(tmp_path, on_disk=on_disk), *BY_DJANGO)
    assert done.returncode == 0, said(done)
    assert "Ran 4 tests" in done.stderr


@pytest.mark.parametrize("on_disk", [True, False], ids=["in a file", "in memory"])
def test_the_guide_s_tests_pass_with_pytest(tmp_path: Path, on_disk: bool) -> None:
    done = run_pytest(make_project(tmp_path, on_disk=on_disk), *BY_PYTEST)
    assert "6 passed" in done.stdout, said(done)


def test_the_guide_s_server_serves(project: Path) -> None:
    done = run_pytest(project, "shop/tests/test_server.py", "shop/tests/test_with_pytest.py")
    assert "3 passed" in done.stdout, said(done)


def test_a_test_that_does_not_settle_fails(project: Path) -> None:
    path = project / "shop/tests/test_orders.py"
    path.write_text(path.read_text().replace("self.live.settle()\n", "pass\n", 1))
    done = run_django(project, "shop.tests.test_orders")
    assert "FAILED (failures=1)" in done.stderr
    assert "'item': 'pen'" in done.stderr


def test_a_binding_that_lets_everybody_see_everything_fails(project: Path) -> None:
    path = project / "shop/bindings.py"
    path.write_text(path.read_text().replace('"owner": self.user.pk, ', ""))
    done = run_django(project, "shop.tests.test_orders")
    assert "FAILED (failures=1)" in done.stderr
    assert "test_a_user_sees_their_own_orders" in done.stderr


def test_a_serializer_s_mistake_shows_its_line(project: Path) -> None:
    path = project / "shop/bindings.py"
    broken = "        return {'owner': self.user.nonsense}  # here\n"
    path.write_text(re.sub(r"        return .*\n", broken, path.read_text()))
    done = run_django(project, "shop.tests.test_orders")
    assert "FAILED (errors=3)" in done.stderr
    assert "self.user.nonsense}  # here" in done.stderr


def test_every_test_leaves_the_database_as_it_was(project: Path) -> None:
    (project / "shop/tests/test_twice.py").write_text(
        "import pytest\nfrom shop.bindings import OrderBinding\nfrom shop.models import Order\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_it(live, admin_user, n):\n"
        "    c = live.subscribe(OrderBinding, user=admin_user)\n"
        "    Order.objects.create(owner=admin_user, item='pen')\n"
        "    live.settle()\n"
        "    assert len(c) == Order.objects.count() == 1\n"
    )
    done = run_pytest(project, "shop/tests/test_twice.py")
    assert "2 passed" in done.stdout, said(done)


def test_a_simple_test_case_says_that_it_has_no_database(project: Path) -> None:
    (project / "shop/tests/test_simple.py").write_text(
        "from django.test import SimpleTestCase\n"
        "from bindserver.testing import LiveTestMixin\n"
        "from shop.bindings import OrderBinding\n"
        "class Tests(LiveTestMixin, SimpleTestCase):\n"
        "    def test_it(self):\n"
        "        self.live.subscribe(OrderBinding)\n"
    )
    done = run_django(project, "shop.tests.test_simple")
    assert "'default' are not allowed in SimpleTestCase" in done.stderr


def test_a_sync_call_in_an_async_test_says_what_to_write(project: Path) -> None:
    path = project / "shop/tests/test_async.py"
    path.write_text(path.read_text().replace("await self.live.asettle()", "self.live.settle()"))
    done = run_django(project, "shop.tests.test_async")
    assert "SynchronousOnlyOperation" in done.stderr
    assert "await live.asettle()" in done.stderr


def test_a_server_on_a_database_in_memory_says_what_to_write(tmp_path: Path) -> None:
    done = run_pytest(make_project(tmp_path, on_disk=False), "shop/tests/test_server.py")
    assert "1 error" in done.stdout
    assert "Name a file: DATABASES['default']['TEST'] = " in done.stdout


SECOND_DATABASE = """
DATABASES["far"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "far.sqlite3"}
"""

FAR_BINDING = """

class FarBinding(Binding):
    model = Order
    event = "far"
    fields = ["id", "item"]
    using = "far"
"""

FAR_TESTS = """
from django.contrib.auth.models import User
from bindserver.testing import LiveTestCase
from shop.bindings import FarBinding, OrderBinding
from shop.models import Order

class BothTests(LiveTestCase):
    databases = {"default", "far"}

    def test_each_binding_reads_its_own_database(self):
        ann = User.objects.create_user("ann")
        User.objects.using("far").create(pk=ann.pk, username="ann")
        here = self.live.subscribe(OrderBinding, user=ann)
        there = self.live.subscribe(FarBinding, user=ann)
        Order.objects.using("far").create(owner_id=ann.pk, item="far pen")
        self.assertEqual(list(self.live.settle()), [there])
        self.assertEqual([row["item"] for row in there.rows], ["far pen"])
        Order.objects.create(owner=ann, item="pen")
        self.assertEqual(list(self.live.settle()), [here])

class OneTests(LiveTestCase):
    def test_a_database_that_is_not_named_is_refused(self):
        self.live.subscribe(FarBinding)
"""


def test_bindings_of_several_databases(project: Path) -> None:
    with (project / "settings.py").open("a") as settings:
        settings.write(SECOND_DATABASE)
    with (project / "shop/bindings.py").open("a") as bindings:
        bindings.write(FAR_BINDING)
    (project / "shop/tests/test_far.py").write_text(FAR_TESTS)
    done = run_django(project, "shop.tests.test_far.BothTests")
    assert done.returncode == 0, said(done)
    done = run_django(project, "shop.tests.test_far.OneTests")
    assert "Add 'far' to shop.tests.test_far.OneTests.databases" in done.stderr


SEES_EVERYTHING = """
import json

import pytest
from django.db import connection
from django.test import TransactionTestCase
from websockets.sync.client import connect

from bindserver.capture.log import log_of
from bindserver.testing import serving
from shop.models import Order


def see(server, user, client, write):
    client.force_login(user)
    cookies = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    with connect(server.ws, additional_headers=cookies) as socket:
        socket.send(json.dumps({"event": "orders"}))
        for _ in range(2):
            socket.recv(timeout=60)
        write()
        return json.loads(socket.recv(timeout=60))["data"]


class Tests(TransactionTestCase):
    def test_bulk_writes_are_seen_through_the_log(self):
        from django.contrib.auth.models import User

        ann = User.objects.create_user("ann")
        with serving() as server:
            assert log_of(connection).installed()
            data = see(server, ann, self.client, lambda: Order.objects.bulk_create(
                [Order(owner=ann, item="pen"), Order(owner=ann, item="ink")]))
            self.assertEqual(data["action"], "batch")
        self.assertFalse(log_of(connection).installed())


@pytest.mark.parametrize("n", [1, 2])
def test_one_server_after_the_other(live_bindserver, admin_user, client, n, settings):
    write = lambda: Order.objects.create(owner=admin_user, item="pen")
    assert see(live_bindserver, admin_user, client, write)["action"] == "create"


def test_http_and_static_files(live_bindserver, admin_user, client):
    from urllib.request import urlopen

    assert urlopen(f"{live_bindserver.url}/bindings/orders/").read() == b"[]"
    assert b"io" in urlopen(f"{live_bindserver.url}/static/bindserver/io.js").read()
"""


def test_servers_come_and_go(project: Path) -> None:
    (project / "shop/tests/test_seeing.py").write_text(SEES_EVERYTHING)
    done = run_pytest(project, "shop/tests/test_seeing.py")
    assert "4 passed" in done.stdout, said(done)


def test_the_plugin_loads_before_django_has_its_settings(project: Path) -> None:
    code = (
        "import sys, bindserver.testing.plugin\n"
        "assert not {'django', 'rest_framework', 'channels'} & set(sys.modules)"
    )
    done = run(project, "-c", code)
    assert done.returncode == 0, said(done)


def test_the_plugin_is_an_entry_point_of_pytest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugin = import_module(project["entry-points"]["pytest11"]["bindserver"])
    assert callable(plugin.live)
    assert callable(plugin.live_bindserver)


FOR_THE_HUB = {"open", "leave", "hear", "fail", "settle", "loop"}
"""What a subscriber has for whoever brings it events, and not for tests."""


@pytest.mark.parametrize("cls", [Live, Subscriber])
def test_all_that_a_test_may_use_stands_in_the_guide(cls: type) -> None:
    guide = (ROOT / "docs/testing.md").read_text()
    attributes = re.findall(r"^        (\w+): ", cls.__doc__ or "", re.MULTILINE)
    public = [name for name in (*vars(cls), *attributes) if name[0] != "_"]
    assert len(public) > 5
    for name in public:
        if cls is Live or name not in FOR_THE_HUB:
            assert re.search(rf"`(live\.)?{name}\b", guide), name
