"""Which ASGI application a project has, and whether it serves bindings."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from bindserver.asgi import carries

STANDALONE = "bindserver.standalone:application"


def application_path() -> str:
    """Return where the project's ASGI application is, in an ASGI server's words.

    Raises:
        ImproperlyConfigured: there is none, or it does not serve bindings; the message says what
            to write.
    """
    path = getattr(settings, "ASGI_APPLICATION", None) or _usual_path()
    if path is None:
        raise ImproperlyConfigured(
            "The project has no asgi.py. Write one, and name it in the settings, as in "
            "ASGI_APPLICATION = 'yourproject.asgi.application'; or serve without one, with "
            "--standalone."
        )
    module, _, name = path.rpartition(".")
    if not serves_bindings(import_string(path)):
        raise ImproperlyConfigured(
            f"{path} does not serve bindings yet. Write in {module.replace('.', '/')}.py\n\n"
            f"    import bindserver\n\n"
            f"    {name} = bindserver.asgi.wrap(get_asgi_application())\n\n"
            "with what you have there now in place of get_asgi_application() where that is more "
            "than this call; or leave it alone, and serve with --standalone."
        )
    return f"{module}:{name}"


def serves_bindings(application: Any) -> bool:
    """Return whether an ASGI application serves bindings; True where that cannot be told."""
    if isinstance(application, ProtocolTypeRouter):
        return "websocket" in application.application_mapping
    return carries(application, "websocket")


def _usual_path() -> str | None:
    """Return where `startproject` puts the application, if there is something."""
    for package in _packages():
        module = f"{package}.asgi"
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            continue
        if found is not None:
            return f"{module}.application"
    return None


def _packages() -> Iterator[str]:
    """Yield the packages that the project's URLs and settings are in, and those around them."""
    for module in (getattr(settings, "ROOT_URLCONF", ""), os.environ.get(ENVIRONMENT_VARIABLE, "")):
        package = module.rpartition(".")[0]
        while package:
            yield package
            package = package.rpartition(".")[0]
