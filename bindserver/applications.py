"""Which ASGI application a project has, and whether it serves bindings."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from bindserver.asgi import carries
from bindserver.transports.websocket import BindingConsumer

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
    """Tell whether an ASGI application serves bindings; True where that cannot be told."""
    if isinstance(application, ProtocolTypeRouter):
        inside = application.application_mapping.get("websocket")
        return inside is not None and _leads_to_bindings(inside)
    return carries(application, "websocket")


def _leads_to_bindings(application: Any) -> bool:
    """Look through middleware at a router's routes."""
    seen = 0
    while not isinstance(application, URLRouter):
        consumer = getattr(application, "consumer_class", None)
        if consumer is not None:
            return issubclass(consumer, BindingConsumer)
        inner = getattr(application, "inner", None) or getattr(application, "application", None)
        seen += 1
        if inner is None or seen > 20:
            return True  # something of the project's own
        application = inner
    return any(_leads_to_bindings(route.callback) for route in application.routes)


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
