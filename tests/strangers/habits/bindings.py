"""The project's bindings."""

from __future__ import annotations

from typing import Any

from auditlog.models import LogEntry
from django.db.models import QuerySet
from django.utils import translation
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from reversion.models import Version

from bindserver import Binding
from tests.strangers.habits import queries
from tests.strangers.habits import serializers as shown
from tests.strangers.habits.models import (
    Area,
    Bill,
    Branch,
    Dish,
    Jar,
    Memo,
    Menu,
    Room,
    Shelf,
    Song,
)


class DishBinding(Binding):
    event = "dishes"
    model = Dish
    fields = ["id", "name", "note", "rank"]
    permission_classes = [AllowAny]


class RankedBinding(Binding):
    event = "ranked"
    model = Dish
    serializer_class = shown.DishSerializer
    params = {"language": serializers.ChoiceField(["en", "de"])}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        translation.activate(self.params["language"])
        return Dish.objects.filter(name__contains="e").order_by("rank")


class AllNamesBinding(Binding):
    event = "names"
    queryset = Dish.objects.select_related("menu")
    serializer_class = shown.AllNamesSerializer
    ordering = ["name_de"]
    permission_classes = [AllowAny]


class MenuBinding(Binding):
    event = "menus"
    queryset = Menu.objects.prefetch_related("dishes", "songs")
    serializer_class = shown.MenuSerializer
    permission_classes = [AllowAny]


class BillBinding(Binding):
    event = "bills"
    model = Bill
    fields = ["id", "name", "amount", "amount_currency", "tip"]
    ordering = ["amount"]
    permission_classes = [AllowAny]


class DearBinding(Binding):
    event = "dear"
    model = Bill
    serializer_class = shown.SaidBillSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return queries.dear()


class ShelfBinding(Binding):
    event = "shelves"
    queryset = Shelf.objects.prefetch_related("jars")
    serializer_class = shown.ShelfSerializer
    permission_classes = [AllowAny]


class JarBinding(Binding):
    event = "jars"
    model = Jar
    fields = ["id", "name"]
    ordering = ["name"]
    params = {"shelf": int}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Jar.objects.filter(shelf_id=self.params["shelf"])


class GoneBinding(Binding):
    event = "gone"
    queryset = Jar.deleted_objects.all()
    fields = ["id", "name"]
    permission_classes = [AllowAny]


class EverBinding(Binding):
    event = "ever"
    queryset = Shelf.all_objects.order_by("-name")
    serializer_class = shown.ShelfSerializer
    limit = 3
    permission_classes = [AllowAny]


class RoomBinding(Binding):
    event = "rooms"
    model = Room
    serializer_class = shown.RoomSerializer
    permission_classes = [AllowAny]


class WingBinding(Binding):
    event = "wing"
    model = Room
    fields = ["id", "name", "depth"]
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Room.objects.get(name="Hall").get_descendants()


class BranchBinding(Binding):
    event = "branches"
    model = Branch
    serializer_class = shown.BranchSerializer
    permission_classes = [AllowAny]


class SongBinding(Binding):
    event = "songs"
    model = Song
    fields = ["id", "name", "menu", "order"]
    permission_classes = [AllowAny]


class SongOfMenuBinding(Binding):
    event = "songs of"
    model = Song
    fields = ["id", "name", "menu", "order"]
    params = {"menu": int}
    permission_classes = [AllowAny]

    def filters(self) -> dict[str, Any]:
        return {"menu": self.params["menu"]}


class BelowBinding(Binding):
    event = "below"
    model = Area
    serializer_class = shown.DeepSerializer
    params = {"area": str}
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return queries.below(self.params["area"])


class SumBinding(Binding):
    event = "sums"
    model = Area
    serializer_class = shown.SumSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return queries.sums()


class MemoBinding(Binding):
    event = "memos"
    model = Memo
    serializer_class = shown.MemoSerializer
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[Any]:
        return queries.memos(self.user.firms.all())


class VersionBinding(Binding):
    event = "versions"
    model = Version
    serializer_class = shown.VersionSerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return Version.objects.get_for_model(Bill).select_related("revision__user")


class LogEntryBinding(Binding):
    event = "entries"
    model = LogEntry
    serializer_class = shown.LogEntrySerializer
    permission_classes = [AllowAny]

    def get_queryset(self) -> QuerySet[Any]:
        return LogEntry.objects.get_for_model(Bill)
