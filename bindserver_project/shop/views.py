"""The shop's page, and what it posts to. Everything live comes from the bindings instead."""

from __future__ import annotations

import shlex
from pathlib import Path
from random import Random

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from .busy import nudge
from .forms import ProductForm
from .models import Product

SEEN_AT_MOST = 60


@require_safe
@ensure_csrf_cookie
def index(request: HttpRequest) -> HttpResponse:
    context = {
        "form": ProductForm(),
        "may_edit": may_edit(request),
        "shell_command": shell_command(),
    }
    return render(request, "shop/index.html", context)


@require_POST
def save_product(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Add a product, or change one; errors come back by field."""
    check_may_edit(request)
    product = None if pk is None else get_object_or_404(Product, pk=pk)
    form = ProductForm(request.POST, instance=product)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    return JsonResponse({"id": form.save().pk})


@require_POST
def keep_busy(request: HttpRequest) -> HttpResponse:
    check_may_edit(request)
    values = request.POST.getlist("seen")[:SEEN_AT_MOST]
    seen = [int(value) for value in values if value.isdecimal() and len(value) < 18]
    return JsonResponse({"changed": nudge(seen, Random())})  # noqa: S311


def may_edit(request: HttpRequest) -> bool:
    """Everybody on a developer's machine; otherwise those who may change products."""
    return settings.DEBUG or request.user.has_perms(["shop.add_product", "shop.change_product"])


def check_may_edit(request: HttpRequest) -> None:
    if not may_edit(request):
        raise PermissionDenied


def shell_command() -> str | None:
    """A command to try beside the page, in debug mode and for a SQLite file only."""
    name = str(connection.settings_dict["NAME"])
    if not settings.DEBUG or connection.vendor != "sqlite" or not Path(name).is_file():
        return None
    path, here = Path(name).resolve(), Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    first = Product.objects.filter(active=True).values_list("pk", flat=True).first()
    sql = f"update shop_product set price = price + 1 where id = {first or 1}"  # noqa: S608
    return f'sqlite3 {shlex.quote(str(shown))} "{sql}"'
