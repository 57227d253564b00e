"""The mark, for everybody."""

from __future__ import annotations

from rest_framework.permissions import AllowAny

from bindserver import Binding
from tests.strangers.marks.models import Mark


class MarkBinding(Binding[Mark]):
    model = Mark
    event = "marks"
    fields = ["id", "number"]
    permission_classes = [AllowAny]
