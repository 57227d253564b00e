"""The project's views in plain Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auditlog.models import LogEntry
from django.utils import translation
from reversion.models import Version

from tests.strangers.habits import queries
from tests.strangers.habits import serializers as shown
from tests.strangers.habits.models import Bill, Branch, Dish, Jar, Menu, Room, Shelf, Song
from tests.strangers.views import View, members


class BriefJarSerializer(shown.JarSerializer):
    pass


def _view(event: str, rows: Callable[[], Any], serializer: Any, **params: Any) -> View:
    return View(event=event, rows=lambda user: rows(), serializer=serializer, params=params)


class InLanguage(View):
    """A view that is rendered in its language."""

    def of(self, rows: Any, user: Any) -> Any:
        with translation.override(self.params["language"]):
            return super().of(rows, user)

    def render(self, user: Any) -> Any:
        with translation.override(self.params["language"]):
            return super().render(user)


class WingSerializer(shown.RoomSerializer):
    class Meta:
        model = Room
        fields = ["id", "name", "depth"]

    rooms = None
    up = None


def views() -> list[View]:
    """Return all views."""
    return [
        _view("dishes", lambda: Dish.objects.order_by("name", "pk"), shown.DishSerializer),
        *[
            InLanguage(
                event="ranked",
                rows=lambda user: Dish.objects.filter(name__contains="e").order_by("rank", "pk"),
                serializer=shown.DishSerializer,
                params={"language": code},
            )
            for code in ("en", "de")
        ],
        _view("names", lambda: Dish.objects.order_by("name_de", "pk"), shown.AllNamesSerializer),
        _view("menus", lambda: Menu.objects.order_by("pk"), shown.MenuSerializer),
        _view("bills", lambda: Bill.objects.order_by("amount", "pk"), shown.BillSerializer),
        _view("dear", queries.dear, shown.SaidBillSerializer),
        _view("shelves", lambda: Shelf.objects.order_by("pk"), shown.ShelfSerializer),
        *[
            _view(
                "jars",
                lambda key=key: Jar.objects.filter(shelf_id=key).order_by("name", "pk"),
                shown.JarSerializer,
                shelf=key,
            )
            for key in Shelf.all_objects.values_list("pk", flat=True)[:2]
        ],
        _view("gone", lambda: Jar.deleted_objects.order_by("pk"), shown.JarSerializer),
        _view("ever", lambda: Shelf.all_objects.order_by("-name", "pk")[:3], shown.ShelfSerializer),
        _view("rooms", lambda: Room.objects.order_by("path"), shown.RoomSerializer),
        _view("wing", lambda: Room.objects.get(name="Hall").get_descendants(), WingSerializer),
        _view(
            "branches", lambda: Branch.objects.order_by("tree_id", "lft"), shown.BranchSerializer
        ),
        _view("songs", lambda: Song.objects.order_by("order", "pk"), shown.SongSerializer),
        *[
            _view(
                "songs of",
                lambda key=key: Song.objects.filter(menu=key).order_by("order", "pk"),
                shown.SongSerializer,
                menu=key,
            )
            for key in Menu.objects.values_list("pk", flat=True)[:2]
        ],
        *[
            _view("below", lambda name=name: queries.below(name), shown.DeepSerializer, area=name)
            for name in ("world", "south")
        ],
        _view("sums", queries.sums, shown.SumSerializer),
        View(
            event="memos",
            rows=lambda user: queries.memos(user.firms.all()),
            serializer=shown.MemoSerializer,
            allowed=members,
        ),
        _view(
            "versions",
            lambda: Version.objects.get_for_model(Bill).select_related("revision__user"),
            shown.VersionSerializer,
        ),
        _view("entries", lambda: LogEntry.objects.get_for_model(Bill), shown.LogEntrySerializer),
    ]
