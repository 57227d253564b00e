"""One binding on each database."""

from __future__ import annotations

from typing import Any

from bindserver import Binding
from tests.projects.people.models import Letter, Person, Record


class PersonBinding(Binding[Person]):
    model = Person
    filters = {"is_active": True}
    ordering = ["username"]


class LetterBinding(Binding[Letter]):
    model = Letter
    event = "letters"
    fields = ["id", "text"]

    def filters(self) -> dict[str, Any]:
        return {"to": self.user.pk}


class RecordBinding(Binding[Record]):
    model = Record
    event = "records"
    fields = ["id", "text"]
    using = "archive"
