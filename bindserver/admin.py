"""A line in the index of Django's admin that leads to the inspector.

It is a model that nobody has: with a registry of its own, so that Django's knows nothing of it, and
there is no table, migration, content type or permission, and nothing for `dumpdata`. An admin site,
whatever its theme, lists what is registered, and asks the class below who may see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseRedirect

from bindserver.inspector.access import address, may_inspect

if TYPE_CHECKING:
    Base = admin.ModelAdmin[models.Model]
else:  # which takes no parameters
    Base = admin.ModelAdmin


class Inspector(models.Model):
    """Stands for the page."""

    class Meta:
        apps = Apps()
        app_label = "bindserver"
        managed = False
        verbose_name = verbose_name_plural = "inspector"


@admin.register(Inspector)
class InspectorAdmin(Base):
    """Leads to the page, where the project's URLs include it, whoever may see it."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the index has the line."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may see the inspector."""
        return address() is not None and may_inspect(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds anything."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes anything."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes anything."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the page."""
        return HttpResponseRedirect(address() or "..")
