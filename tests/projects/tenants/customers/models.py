"""Who has a schema."""

from __future__ import annotations

from django_tenants.models import DomainMixin, TenantMixin


class Customer(TenantMixin):  # type: ignore[misc]  # it has no types
    """A tenant."""

    auto_create_schema = False


class Domain(DomainMixin):  # type: ignore[misc]  # nor this
    """Where it is reached."""
