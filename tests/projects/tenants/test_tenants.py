"""django-tenants itself: each tenant is given its own rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.postgresql import Cluster

pytest.importorskip("django_tenants")


def test_each_tenant_is_given_its_own_rows_and_publishing_is_refused(postgresql: Cluster) -> None:
    name = postgresql.make_database()
    done = subprocess.run(
        [sys.executable, "-m", "tests.projects.tenants"],
        env={**os.environ, "DATABASE_URL": postgresql.url(name)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    own = {tenant: [tenant] for tenant in ("public", "acme", "other")}
    assert told["all"] == told["viewset"] == own
    assert "PublishedBinding is served from database 'default'" in told["E050"]
    postgresql.drop_database(name)
