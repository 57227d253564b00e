"""A database that cannot be used is told of in one line: which, why, and what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import ProgrammingError, connection

from bindserver.database.diagnosis import explained
from tests.projects.test_project import manage, refusal
from tests.support.mariadb import MariaDB
from tests.support.postgresql import Cluster
from tests.support.server import free_port

DEMO = ["serve_demo", "--port", "0"]
COMMANDS = [DEMO, ["bindserver", "--no-reload", "--port", "0"], ["bindings", "capture", "install"]]
STARTING = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
UNREACHED = "Is the server running there, and is the address right?"


def told(url: str, command: list[str] = DEMO) -> str:
    """Return the one line that a command prints of a database."""
    line = refusal(*command, DEBUG="1", DEMO="1", DATABASE_URL=url)
    assert "hunter2" not in line
    return line


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server that asks one role for its password, and lets another make nothing."""
    folder = Path(tempfile.mkdtemp(prefix="bindserver-pg-"))
    cluster = Cluster(folder / "cluster").make()
    rules = folder / "cluster/data/pg_hba.conf"
    rules.write_text(f"host all careful 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    try:
        cluster.start()
        with cluster.connect() as connection:
            connection.execute("CREATE ROLE careful LOGIN PASSWORD 'right'")
            connection.execute("CREATE ROLE guest LOGIN")
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as from 15 on
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


class TestPostgreSQL:
    @STARTING
    def test_a_database_that_is_not_there_is_to_be_created(
        self, cluster: Cluster, command: list[str]
    ) -> None:
        line = told(cluster.url("shop"), command)
        place = f"shop at 127.0.0.1:{cluster.port}, as postgres"
        assert line.startswith(f"CommandError: Database 'default' ({place}) cannot be used: ")
        assert line.endswith('database "shop" does not exist. Create it: `createdb shop`.')

    @pytest.mark.parametrize("user", ["careful:hunter2", "nobody:hunter2"])
    def test_who_is_not_let_in_looks_at_user_and_password(
        self, cluster: Cluster, user: str
    ) -> None:
        line = told(f"postgresql://{user}@127.0.0.1:{cluster.port}/postgres")
        assert line.endswith(". Check the user and the password.")

    def test_a_role_that_may_make_nothing_needs_a_grant(self, cluster: Cluster) -> None:
        line = told(f"postgresql://guest@127.0.0.1:{cluster.port}/postgres")
        assert "permission denied for schema public. As the owner" in line
        assert '`GRANT CREATE ON SCHEMA public TO "guest"`' in line

    def test_a_role_that_may_not_read_the_log_needs_a_grant(self, cluster: Cluster) -> None:
        name = cluster.make_database()
        for command in (["migrate"], ["bindings", "capture", "install"]):
            done = manage(*command, DEBUG="1", DEMO="1", DATABASE_URL=cluster.url(name))
            assert done.returncode == 0, done.stderr
        url = f"postgresql://guest@127.0.0.1:{cluster.port}/{name}"
        line = told(url, ["bindserver", "--no-reload", "--port", "0"])
        assert "permission denied for table bindserver_" in line
        assert line.endswith(". Have its owner grant that, or take another role.")

    @STARTING
    def test_a_server_that_is_down_is_looked_for(self, command: list[str]) -> None:
        line = told(f"postgresql://me:hunter2@127.0.0.1:{free_port()}/shop", command)
        assert line.endswith(f"Connection refused. {UNREACHED}")

    def test_options_that_the_driver_does_not_know_are_to_be_corrected(
        self, cluster: Cluster
    ) -> None:
        line = told(cluster.url("postgres") + "?a=1&b=2")
        assert line.endswith('invalid connection option "a". Correct the database\'s OPTIONS.')

    @pytest.mark.usefixtures("bare_postgresql_database")
    def test_a_mistake_of_the_program_s_is_none_of_the_database_s(self) -> None:
        with pytest.raises(ProgrammingError, match="nonsense"), explained("default"):
            connection.cursor().execute("SELECT nonsense")


class TestMariaDB:
    @STARTING
    def test_a_database_that_is_not_there_is_to_be_created(
        self, maria: MariaDB, command: list[str]
    ) -> None:
        line = told(maria.url("shop"), command)
        assert f" (shop at 127.0.0.1:{maria.port}, as root) cannot be used: " in line
        assert line.endswith("Create it: `CREATE DATABASE shop CHARACTER SET utf8mb4`.")

    @pytest.mark.parametrize("right", ["USAGE", "SELECT"])
    def test_a_user_with_too_few_rights_needs_a_grant(self, maria: MariaDB, right: str) -> None:
        name = maria.make()
        on = "*.*" if right == "USAGE" else f"{name}.*"
        with closing(maria.connect("")) as administrator:
            administrator.query(f"GRANT {right} ON {on} TO few{name} IDENTIFIED BY 'hunter2'")
        line = told(f"mysql://few{name}:hunter2@127.0.0.1:{maria.port}/{name}")
        assert f"`GRANT ALL ON {name}.* TO few{name}`." in line
        assert ("CREATE command denied" in line) is (right == "SELECT")

    def test_who_is_not_let_in_looks_at_user_and_password(self, maria: MariaDB) -> None:
        line = told(f"mysql://root:hunter2@127.0.0.1:{maria.port}/mysql")
        assert line.endswith("(using password: YES). Check the user and the password.")

    @STARTING
    def test_a_server_that_is_down_is_looked_for(self, command: list[str]) -> None:
        line = told(f"mysql://me:hunter2@127.0.0.1:{free_port()}/shop", command)
        assert line.endswith(f"(115). {UNREACHED}")

    def test_options_that_the_driver_does_not_know_are_to_be_corrected(
        self, maria: MariaDB
    ) -> None:
        line = told(maria.url("mysql") + "?a=1&b=2")
        assert line.endswith("Correct the database's OPTIONS.")


class TestSQLite:
    @STARTING
    def test_options_that_the_driver_does_not_know_are_to_be_corrected(
        self, tmp_path: Path, command: list[str]
    ) -> None:
        line = told(f"sqlite:///{tmp_path}/shop.sqlite3?a=1", command)
        assert "'a' is an invalid keyword argument" in line
        assert line.endswith("Correct the database's OPTIONS.")

    @STARTING
    def test_a_folder_that_is_not_there_is_told_so(
        self, tmp_path: Path, command: list[str]
    ) -> None:
        line = told(f"sqlite:///{tmp_path}/none/shop.sqlite3", command)
        assert f"Database 'default' ({tmp_path}/none/shop.sqlite3) cannot be used: " in line
        assert "unable to open database file. Its folder has to be there" in line

    def test_a_file_that_is_no_database_is_told_so(self, tmp_path: Path) -> None:
        (tmp_path / "notes").write_text("This is a text of some length, and no database." * 9)
        line = told(f"sqlite:///{tmp_path}/notes")
        assert line.endswith("/notes) cannot be used: file is not a database. Name another file.")
