"""Docs that cannot rot: what the pages name is held against the code, both ways."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from runpy import run_path
from textwrap import dedent
from typing import Any

import pytest
from django.conf import global_settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandParser
from rest_framework import serializers

from bindserver import Binding, __version__, checks
from bindserver.bindings.binding import declared_columns
from bindserver.bindings.params import RESERVED_NAMES
from bindserver.bindings.registry import registry
from bindserver.checks.bindings import CHECKS
from bindserver.conf import DEFAULTS
from bindserver.database.pacing import Pacer
from bindserver.engine.frames import PAGE_SIZES
from bindserver.engine.protocol import RESERVED_EVENTS, Closing, Code
from bindserver.hub.hub import hub
from bindserver.management.commands.bindings import Command as BindingsCommand
from bindserver.management.commands.bindserver import Command as BindserverCommand
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from tests.app.bindings import ProductBinding
from tests.app.models import Booking, Product

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in TOP), *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    """Return a page's text, by its path from the project's folder."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """Return a page's text below a heading, down to the next one of the same rank or a higher."""
    rank = heading.count("#")
    pattern = rf"^{re.escape(heading)}$\n(.*?)(?=^#{{1,{rank}}} |\Z)"
    found = re.search(pattern, text_of(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no heading {heading!r}"
    return found[1]


def table(text: str) -> dict[str, list[str]]:
    """Return a page's table rows: the first cell's code, and the other cells."""
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {cells[0].strip("` "): cells[1:] for cells in rows if cells[0] != "---"}


def snippets(page: Path, language: str) -> Iterator[str]:
    """Yield a page's code blocks in a language."""
    for _, found, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield dedent(body)


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    rows = table(section("docs/settings.md", "# Settings"))
    told = {name: cells[0].strip("`") for name, cells in rows.items() if name.isupper()}
    assert {name: ast.literal_eval(default) for name, default in told.items()} == DEFAULTS


def test_settings_stand_in_order() -> None:
    named = [name for name in table(text_of("docs/settings.md")) if name in DEFAULTS]
    assert named == sorted(named)


def test_every_environment_variable_that_the_project_reads_is_documented_and_no_other() -> None:
    sources = [*(ROOT / "bindserver_project").rglob("*.py"), *(ROOT / "bindserver").rglob("*.py")]
    pattern = re.compile(r"\benviron(?:ment)?\.\w+\(\s*\"([A-Z_]+)\"")
    read = {name for source in sources for name in pattern.findall(source.read_text())}
    told = set(table(section("docs/deployment.md", "### Environment variables")))
    elsewhere = {"SECRET_KEY_FILE", "BINDSERVER_*", "FORWARDED_ALLOW_IPS"}
    assert read - {"DJANGO_SETTINGS_MODULE"} | elsewhere == told - {"variable"}


def test_limits_in_the_wire_contract_are_settings() -> None:
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text_of("docs/protocol.md")))
    assert named - set(DEFAULTS) - set(dir(global_settings)) <= {"REST_FRAMEWORK"}


def test_every_system_check_is_documented_and_no_other() -> None:
    sources = [path.read_text() for path in Path(checks.__file__).parent.glob("*.py")]
    ids = re.findall(r'"(bindserver\.[EWI]\d+)"', "".join(sources))
    assert set(table(text_of("docs/checks.md"))) - {"id"} == set(ids)


def test_every_code_is_in_the_wire_contract_and_no_other() -> None:
    told = table(section("docs/protocol.md", "## Error and end codes"))
    assert set(told) - {"code"} == {code.value for code in Code}


def test_every_close_code_is_in_the_wire_contract_and_no_other() -> None:
    told = table(section("docs/protocol.md", "## Close codes"))
    assert {int(code) for code in told if code != "code"} == {code.value for code in Closing}


@pytest.mark.parametrize("code", [*Code, *Closing])
def test_codes_that_are_not_sent_yet_say_so(code: Code | Closing) -> None:
    told = table(text_of("docs/protocol.md"))[str(code.value)]
    sources = [path.read_text() for path in (ROOT / "bindserver").rglob("*.py")]
    ours = any(f"{type(code).__name__}.{code.name}" in source for source in sources)
    asgi_server = code is Closing.RESTART
    assert ("not sent yet" in told[-1]) is not (ours or asgi_server)


def test_page_sizes_in_the_wire_contract_are_the_server_s() -> None:
    sizes = ", ".join(str(size) for size in PAGE_SIZES[:-1]) + f" and {PAGE_SIZES[-1]}"
    assert sizes in text_of("docs/protocol.md")


@pytest.mark.parametrize("page", ["docs/protocol.md", "docs/checks.md"])
def test_names_that_no_param_may_have_are_named(page: str) -> None:
    names = ", ".join(f"`{name}`" for name in sorted(RESERVED_NAMES))
    assert names in text_of(page).replace("\n", " ")


def test_what_is_served_is_not_among_what_is_not_served_yet() -> None:
    waiting = re.findall(r"\*\*Not served yet:\*\*.*?\n\n", text_of("docs/protocol.md"), re.DOTALL)
    assert len(waiting) == 1
    named = set(re.findall(r"`(/[\w.]+)/?`", waiting[0]))
    assert named
    served = text_of("bindserver/http/health.py")
    assert not {path for path in named if f'"{path}"' in served}


def test_every_mode_of_postgresql_s_triggers_is_documented() -> None:
    installed = section("docs/databases.md", "### What is installed")
    modes = set(re.findall(r"ENABLE \w+", text_of("bindserver/capture/postgresql/trigger_sql.py")))
    assert modes == set(re.findall(r"`(ENABLE \w+)`", installed))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_says_a_thing_twice(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "#"))]
    sentences = re.split(r"(?<=\.)\s+", re.sub(r"\s+", " ", " ".join(lines)))
    long = [sentence for sentence in sentences if len(sentence) > 40]
    assert {sentence for sentence in long if long.count(sentence) > 1} == set()


def test_examples_use_no_reserved_event() -> None:
    events = set(re.findall(r'event = "(\w+)"', text_of("docs/bindings.md")))
    assert events
    assert not events & RESERVED_EVENTS


def options_of(command: Any) -> set[str]:
    """Return a command's own options and the choices of its subcommands."""
    parser = CommandParser()
    command.add_arguments(parser)
    return set(_options(parser)) - {"--help", "-h"}


def _options(parser: Any) -> Iterator[str]:
    for action in parser._actions:
        yield from (name for name in action.option_strings if name.startswith("--"))
        for name, sub in (action.choices or {}).items() if hasattr(action, "add_parser") else ():
            yield name
            yield from _options(sub)
        if isinstance(action.choices, list):
            yield from action.choices


def test_every_option_of_the_server_is_documented_and_no_other() -> None:
    told = table(section("docs/commands.md", "## `bindserver`"))
    assert set(told) - {"option"} == options_of(BindserverCommand())


def test_every_subcommand_and_option_of_bindings_is_documented_and_no_other() -> None:
    page = "".join(
        section("docs/commands.md", f"## {heading}")
        for heading in (
            "`bindings list`",
            "`bindings explain EVENT`",
            "`bindings tail EVENT`",
            "`bindings doctor`",
            "`bindings sync`, `bump` and `clear`",
            "`bindings capture`",
        )
    )
    told = table(page)
    named = [name.removeprefix("bindings ") for name in told if name.startswith("bindings ")]
    actions = {name.removeprefix("capture ") for name in named}
    options = {name for name in told if name.startswith("--")}
    assert {"list", "explain", "tail", "doctor", "capture"} | actions | options == options_of(
        BindingsCommand()
    )


def test_the_demo_s_commands_and_options_are_documented() -> None:
    told = table(section("docs/commands.md", "## The demo"))
    sources = (ROOT / "bindserver_project/shop/management/commands").glob("[a-z]*.py")
    commands = {path.stem: path.read_text() for path in sources}
    assert set(told) - {"command"} == set(commands)
    for name, source in commands.items():
        for option in re.findall(r"\"(--[a-z-]+)\"", source):
            assert f"`{option}`" in " ".join(told[name])


def test_every_command_of_the_app_has_its_section() -> None:
    ours = [name for name, app in get_commands().items() if app == "bindserver"]
    for name in ours:
        assert load_command_class("bindserver", name).help
        assert re.search(rf"^## `{name}\b", text_of("docs/commands.md"), re.MULTILINE)


def test_every_make_target_is_documented_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", text_of("Makefile"), re.MULTILINE))
    told = set(re.findall(r"^\| `make ([a-z-]+)`", text_of("docs/development.md"), re.MULTILINE))
    assert told == targets


def test_the_variables_of_make_are_documented() -> None:
    variables = set(re.findall(r"^([A-Z]+) \?=", text_of("Makefile"), re.MULTILINE))
    for name in variables:
        assert f"`{name}`" in section("docs/settings.md", "## Environment variables")


def test_every_file_of_vectors_is_named() -> None:
    told = set(re.findall(r"`(\w+\.json)`", text_of("docs/development.md")))
    assert told == {path.name for path in (ROOT / "tests/vectors").glob("*.json")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors_of(found), f"{page.name}: {target}"


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {anchor(heading) for heading in headings}


def anchor(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_page_is_linked_from_the_readme() -> None:
    readme = text_of("README.md")
    assert "](CONTRIBUTING.md)" in readme
    for page in DOCS.glob("*.md"):
        assert f"](docs/{page.name})" in readme


def test_every_module_says_in_its_first_line_what_is_in_it() -> None:
    for path in (ROOT / "bindserver").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        told = ast.get_docstring(ast.parse(text))
        assert told or not text, path


def test_the_picture_of_the_house_is_that_of_the_folders_there_are() -> None:
    drawn = run_path(str(ROOT / "scripts" / "draw_house.py"))["draw"]()
    assert text_of("docs/house.svg") == drawn


def test_the_picture_has_each_folder_and_file_at_the_top() -> None:
    layers = run_path(str(ROOT / "scripts" / "draw_house.py"))["layers"]()
    rooms = {room for _, names in layers for room in names}
    inside = (ROOT / "bindserver").iterdir()
    top = {p.stem for p in inside if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert rooms == top - {"__init__"}


def test_the_layers_in_the_architecture_are_those_that_the_linter_holds() -> None:
    linter = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]
    contracts = [c["layers"] for c in linter["contracts"] if c["type"] == "layers"]
    fences = FENCE.findall(section("docs/architecture.md", "## Who imports whom"))
    assert [fence[2].split("\n")[:-1] for fence in fences] == contracts


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/internals.md"])
def test_every_function_that_the_architecture_names_exists(page: str) -> None:
    names = set(re.findall(r"`([a-z_]+(?:\.\w+)+)`", text_of(page))) - {"pyproject.toml"}
    assert len(names) > 20
    for name in names:
        assert resolve(f"bindserver.{name}") is not None


def test_a_change_s_way_is_told_in_ten_steps() -> None:
    way = section("docs/architecture.md", "## A change on its way")
    assert re.findall(r"^(\d+)\. ", way, re.MULTILINE) == [str(step) for step in range(1, 11)]


def resolve(name: str) -> Any:
    """Return what a dotted name stands for: a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_snippets_compile(page: Path) -> None:
    for code in snippets(page, "python"):
        compile(code, page.name, "exec")


def test_every_folder_named_in_contributing_exists() -> None:
    named = re.findall(r"`((?:bindserver|tests)/[\w/.]+)`", text_of("CONTRIBUTING.md"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_attribute_of_a_binding_is_documented_and_no_other() -> None:
    attributes = {name for name in vars(Binding)["__annotations__"] if not name.startswith("_")}
    told = table(section("docs/bindings.md", "## Attributes"))
    assert set(told) - {"attribute"} == attributes
    methods = table(section("docs/bindings.md", "## Methods to override"))
    for name in set(methods) - {"method"}:
        assert callable(getattr(Binding, name.removesuffix("()")))


@pytest.fixture
def known_bindings() -> Iterator[None]:
    """Forget the bindings that a test declares."""
    before = registry.all()
    yield
    for binding in registry.all():
        if binding not in before:
            registry.remove(binding)


def declared_in(code: str) -> type[Binding[Any]]:
    """Run a snippet on the tests' own models, and return the binding that it declares."""
    code = re.sub(r"^from shop\.models import .*$", "", code, flags=re.MULTILINE)
    code = code.replace("from shop.serializers import PriceSerializer", "")
    names: dict[str, Any] = {"__name__": "snippet", "Product": Product, "Order": Product}
    names |= {"Sales": Product, "Offer": Booking}
    names |= {"Membership": Product, "PriceSerializer": serializers.Serializer}
    exec(code, names)
    found = [
        value
        for name, value in names.items()
        if isinstance(value, type) and issubclass(value, Binding) and value is not Binding
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.django_db
@pytest.mark.usefixtures("known_bindings", "database")
def test_the_readme_s_binding_works() -> None:
    code = next(code for code in snippets(ROOT / "README.md", "python") if "(Binding)" in code)
    binding = declared_in(code)
    assert [problem for check in CHECKS for problem in check(binding)] == []
    tea = Product.objects.create(name="tea", price=2)
    Product.objects.create(name="gone", active=False)
    Product.objects.create(name="beans", price=9)
    rows = reading.load(Query(binding()), Recorder(), Pacer(10))
    found = [json.loads(row.text) for row in rows.fresh.values()]
    assert [row["name"] for row in found] == ["beans", "tea"]
    assert found[1] == {"id": tea.pk, "name": "tea", "price": "2.00"}


@pytest.mark.usefixtures("database")
def test_the_docs_live_cache_answers(capsys: pytest.CaptureFixture[str]) -> None:
    Product.objects.create(name="tea", price=2)
    code = next(code for code in snippets(DOCS / "bindings.md", "python") if ".all()" in code)
    exec(code, {"ProductBinding": ProductBinding})
    assert capsys.readouterr().out == "tea\n"
    hub.stop()


@pytest.mark.usefixtures("known_bindings")
def test_the_bindings_of_the_docs_can_be_declared() -> None:
    for code in snippets(DOCS / "bindings.md", "python"):
        if "(Binding)" not in code:
            continue
        binding = declared_in(code)
        assert binding.event
        columns = binding.aggregate or declared_columns(binding)  # which say what is published
        assert binding.fields or binding.serializer_class or columns


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{__version__}]" in text_of("CHANGELOG.md")
