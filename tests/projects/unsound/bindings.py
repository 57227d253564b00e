"""One mistake of each kind. A binding's event is its check's id, where that is not the mistake.

A check with a new id has its binding here: `tests/servers/test_soundness.py` serves each,
under every server.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db.models import Count, F, Q
from django.utils import timezone
from rest_framework import serializers

from bindserver import Binding, WebsocketBinding
from tests.app.models import Moment, Product, Shelf
from tests.projects.unsound.models import Pair
from tests.projects.unsound.serializers import Deep, First, Keyless, Named


class Good(Binding[Any]):
    """What is not to be harmed by all the others."""

    model = Product
    event = "good"
    fields = ("id", "name")


class Twin(Good):
    event = "e002"


class OtherTwin(Good):
    event = "e002"


class E003(Good):
    event = "e003/"


class E004(Binding[Any]):
    event = "e004"
    fields = ("id",)


class E005(Binding[Any]):
    event = "e005"
    fields = ("id",)
    queryset: ClassVar[Any] = Product.objects


class E006(Binding[Any]):
    model = Pair
    event = "e006"
    fields = ("left",)


class E007(Good):
    event = "e007"
    serializer_class = serializers.Serializer


class E008(Binding[Any]):
    """Every column of every user, password hashes included."""

    model = User
    event = "e008"


class E009(Good):
    event = "e009"
    fields = ("id", "nonsense")


class E010(Good):
    event = "e010"
    params: Any = ["category"]


class E011(Good):
    event = "e011"
    params: Any = {"search": str}


class E012(Good):
    event = "e012"
    params: Any = {"category": float}


class E013(Good):
    event = "e013"
    filters: ClassVar[Any] = {"nonsense": 1}


class E014(Good):
    event = "e014"
    ordering = ("?",)


class E015(Good):
    event = "e015"
    limit = 0


class E016(Good):
    event = "e016"
    using = "elsewhere"


class E017(Good):
    event = "e017"
    using = "odd"


class E018(Good):
    event = "e018"
    permission_classes = ("IsAdminUser",)


class E019(Good):
    event = "e019"
    ordering: ClassVar[Any] = 5


class E022(Good):
    event = "e022"
    filters: ClassVar[Any] = {"pk__in": list(User.objects.values_list("pk", flat=True))}


class E023(Binding[Any]):
    event = "e023"
    fields = ("id",)
    queryset = Product.objects.none()
    _ = list(queryset)


class E030(WebsocketBinding[Any]):
    model = Product
    event = "e030"
    fields = ("id",)
    groups = ("a b",)


class E040(Binding[Any]):
    model = Product
    event = "e040"
    serializer_class = First


class E041(Binding[Any]):
    event = "e041"
    fields = ("id",)
    queryset = Product.objects.using("switching")


class E042(Binding[Any]):
    model = Product
    event = "e042"
    serializer_class = Keyless


class E050(Good):
    event = "e050"
    using = "switching"


class E051(Binding[Any]):
    event = "e051"
    fields = ("id",)
    queryset: ClassVar[Any] = Product.objects.values_list("id")


class E054(Binding[Any]):
    model = Shelf
    event = "e054"
    serializer_class = Deep


class E060(Binding[Any]):
    event = "e060"
    queryset: ClassVar[Any] = Product.objects.values("stock").annotate(n=Count("pk")).values("n")


class E061(Binding[Any]):
    event = "e061"
    queryset: ClassVar[Any] = Product.objects.values("stock")
    serializer_class = Named


class E062(Binding[Any]):
    model = Product
    event = "e062"
    aggregate: ClassVar[Any] = {"stock": F("stock")}


class E063(Binding[Any]):
    event = "e063"
    fields = ("id",)
    queryset: ClassVar[Any] = Product.objects.filter(pk=1).union(Shelf.objects.all())


class E064(Good):
    event = "e064"
    depends_on: ClassVar[Any] = ["app.Nothing"]


class E065(Good):
    event = "e065"
    refresh_seconds = 0


class E066(Binding[Any]):
    model = Moment
    event = "e066"
    fields = ("at",)

    def get_q(self) -> Q:
        return Q(at__lt=timezone.now())
