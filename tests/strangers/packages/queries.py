"""What is shown, in each package's own words; bindings and plain Django ask the same."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from tests.strangers.packages.models import Task


class TaskFilter(django_filters.FilterSet):
    """By points and by topics."""

    class Meta:
        model = Task
        fields = {"points": ["gte", "lt"], "topic__name": ["icontains"]}


def filtered(**data: object) -> QuerySet[Task]:
    """Return the tasks that the filter lets through."""
    return TaskFilter(data, queryset=Task.available_objects.all()).qs.order_by("-points", "id")
