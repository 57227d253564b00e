from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from bindserver_project.shop.catalogue import OFFERS, Listing, listings
from bindserver_project.shop.demo import NAME, create_demo_user
from bindserver_project.shop.models import Category, Product


class Command(BaseCommand):
    help = "Fill an empty shop with the demo catalogue; a shop with products stays as it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reset", action="store_true", help="empty the shop first, whatever it holds"
        )

    def handle(self, *args: Any, reset: bool = False, **options: Any) -> None:
        with transaction.atomic():
            if reset:
                Product.objects.all().delete()
                Category.objects.all().delete()
            added = 0 if Product.objects.exists() else fill_shop(list(listings()))
        if create_demo_user():
            self.stdout.write(f"Created the demo user {NAME!r}.")
        self.stdout.write(f"Added {added} products." if added else "The shop has products already.")


def fill_shop(catalogue: list[Listing]) -> int:
    names = sorted({OFFERS, *(listing.category for listing in catalogue)})
    categories = {name: Category.objects.get_or_create(name=name)[0] for name in names}
    Product.objects.bulk_create(
        Product(
            sku=listing.sku,
            name=listing.name,
            price=listing.price,
            stock=listing.stock,
            active=listing.active,
            category=categories[listing.category],
        )
        for listing in catalogue
    )
    return len(catalogue)
