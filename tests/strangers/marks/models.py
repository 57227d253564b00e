"""A number that the writer counts up behind each thing that it has done."""

from __future__ import annotations

from django.db import models


class Mark(models.Model):
    """One row. Who has heard its number has been sent all that was committed before it."""

    number = models.IntegerField()
