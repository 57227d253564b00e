"""Makes three tenants, the public schema one of them, and prints what each is given."""

from __future__ import annotations

import json
import os

import django

TENANTS = ("public", "acme", "other")


def main() -> None:
    """Print what `.all()` and a viewset give each tenant, and what the checks say."""
    from django.core import checks
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django_tenants.utils import schema_context

    from bindserver.hub.hub import hub
    from tests.projects.tenants.customers.models import Customer, Domain
    from tests.projects.tenants.shop.bindings import ItemBinding
    from tests.projects.tenants.shop.models import Item

    call_command("migrate_schemas", "--shared", "--run-syncdb", verbosity=0)
    for name in TENANTS:
        customer = Customer.objects.create(schema_name=name)
        Domain.objects.create(tenant=customer, domain=f"{name}.test")
        with schema_context(name), connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
            cursor.execute(f"CREATE TABLE {name}.shop_item (id serial PRIMARY KEY, name text)")
            Item(name=name).save()
    told: dict[str, dict[str, list[str]]] = {"all": {}, "viewset": {}}
    for name in TENANTS * 2:
        with schema_context(name):
            told["all"][name] = [item.name for item in ItemBinding().all()]
        answer = Client(headers={"host": f"{name}.test"}).get("/items/")
        told["viewset"][name] = [item["name"] for item in answer.json()]
    hub.stop()
    found = {message.id: str(message.msg) for message in checks.run_checks(tags=["bindserver"])}
    print(json.dumps({**told, "E050": found.get("bindserver.E050")}))


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.projects.tenants.settings"
    django.setup()
    main()
