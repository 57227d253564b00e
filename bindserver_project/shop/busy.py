"""A busy shop: small believable writes, so that a lone visitor sees rows move.

The changes come and go (what is renamed gets its name back, what is on offer goes home), so the
catalogue still makes sense after an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random

from django.db import transaction
from django.db.models import Max

from .catalogue import OFFERS
from .models import Category, Product

HIDDEN_AT_MOST = 20
LABEL = "New: "
EXTRA = ", gift box"


def sell_or_restock(product: Product, random: Random) -> str:
    if product.stock == 0:
        product.stock = random.randint(12, 60)
    else:
        product.stock = max(0, product.stock - random.randint(1, 3))
    return "stock"


def reprice(product: Product, random: Random) -> str:
    price = product.price * random.randint(90, 111) / 100
    price = min(max(price, Decimal(1)), Decimal(999)).quantize(Decimal("0.1"))
    product.price = price if price != product.price else price + Decimal("0.5")
    return "price"


def rename(product: Product, random: Random) -> str:
    plain = product.name.removeprefix(LABEL).removesuffix(EXTRA)
    if plain == product.name:
        plain = LABEL + plain if random.random() < 0.3 else plain[:100] + EXTRA
    product.name = plain
    return "name"


def hide_or_show(product: Product, random: Random) -> str:
    product.active = not product.active
    return "active"


def move(product: Product, random: Random) -> str:
    """To the offers, or from there back to where its neighbours by SKU are."""
    code = product.sku.partition("-")[0]
    target = (
        Category.objects.filter(products__sku__startswith=f"{code}-").exclude(name=OFFERS).first()
        if product.category.name == OFFERS
        else Category.objects.filter(name=OFFERS).first()
    )
    product.category = target or product.category
    return "category"


KINDS: list[tuple[int, Callable[[Product, Random], str]]] = [
    (50, sell_or_restock),
    (26, reprice),
    (8, rename),
    (10, hide_or_show),
    (6, move),
]


def nudge(seen: Sequence[int], random: Random) -> int:
    """Change a few products, mostly ones that the visitor sees; returns how many."""
    weights, kinds = zip(*KINDS, strict=True)
    changed = 0
    with transaction.atomic():
        for kind in random.choices(kinds, weights, k=random.randint(1, 3)):
            product = pick_hidden(random) if kind is hide_or_show else None
            product = product or pick(seen, random)
            if product is not None:
                field = kind(product, random)
                product.save(update_fields=[field, "updated_at"])
                changed += 1
    return changed


def pick(seen: Sequence[int], random: Random) -> Product | None:
    products = Product.objects.select_related("category").filter(active=True)
    if seen and random.random() < 0.75:
        return products.filter(pk=random.choice(seen)).first()
    highest = products.aggregate(highest=Max("pk"))["highest"] or 0
    return products.filter(pk__gte=random.randint(0, highest)).order_by("pk").first()


def pick_hidden(random: Random) -> Product | None:
    """One that is out of the shop, likelier the more of them there are."""
    hidden = list(Product.objects.filter(active=False).order_by("pk")[:HIDDEN_AT_MOST])
    return random.choice(hidden) if random.random() < len(hidden) / HIDDEN_AT_MOST else None
