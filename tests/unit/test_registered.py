"""A binding that a module of tests leaves registered is kept live by every other module's hub."""

from __future__ import annotations

import pytest

from bindserver.bindings.registry import registry


def test_no_module_of_tests_leaves_its_bindings_to_the_others(
    request: pytest.FixtureRequest,
) -> None:
    modules = {getattr(item, "module", None) for item in request.session.items}
    names = {module.__name__ for module in modules if module is not None}
    assert __name__ in names
    assert [kind for kind in registry.all() if kind.__module__ in names] == []
