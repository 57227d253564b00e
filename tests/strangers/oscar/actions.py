"""What happens in the shop, by oscar's own code and by raw SQL."""

from __future__ import annotations

import csv
import logging
import tempfile
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from oscar.apps.address.models import Country
from oscar.apps.basket.models import Basket
from oscar.apps.catalogue.categories import create_from_breadcrumbs
from oscar.apps.catalogue.models import (
    AttributeOption,
    AttributeOptionGroup,
    Category,
    Product,
    ProductClass,
)
from oscar.apps.catalogue.reviews.models import ProductReview
from oscar.apps.checkout.applicator import SurchargeApplicator
from oscar.apps.checkout.calculators import OrderTotalCalculator
from oscar.apps.offer.models import Benefit, Condition, ConditionalOffer, Range
from oscar.apps.order.models import Order, ShippingAddress, ShippingEventType
from oscar.apps.order.processing import EventHandler
from oscar.apps.order.utils import OrderCreator
from oscar.apps.partner.importers import CatalogueImporter
from oscar.apps.partner.models import Partner, StockRecord
from oscar.apps.partner.strategy import Default
from oscar.apps.shipping.methods import Free
from oscar.apps.wishlists.models import WishList

from tests.strangers.views import Actions

LEAST = 25
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Fill the shop."""
    Country.objects.create(iso_3166_1_a2="GB", printable_name="Great Britain", name="GB")
    Partner.objects.create(name="Old Mill")
    sizes = AttributeOptionGroup.objects.create(name="Sizes")
    for name in ("Small", "Large"):
        AttributeOption.objects.create(group=sizes, option=name)
    kind = ProductClass.objects.create(name="Book", track_stock=True)
    kind.attributes.create(name="Pages", code="pages", type="integer")
    kind.attributes.create(name="Size", code="size", type="option", option_group=sizes)
    kind.attributes.create(name="Signed", code="signed", type="boolean")
    for trail in ("Books > Poems", "Books > Novels > Long ones", "Games"):
        create_from_breadcrumbs(trail)
    make("Leaves", "Poems", "12.50", 8)
    make("Dunes", "Novels", "9.00", 70)
    make("Rivers", "Long ones", "21.00", 3)


def make(title: str, category: str, price: str, stock: int) -> Any:
    """Make a product that can be bought."""
    product = Product(
        title=title, upc=title.lower(), product_class=ProductClass.objects.get(name="Book")
    )
    product.attr.pages = 10 * stock
    product.save()
    product.categories.add(category_of(category))
    StockRecord.objects.create(
        product=product,
        partner=Partner.objects.first(),
        partner_sku=f"sku-{title}",
        price=Decimal(price),
        num_in_stock=stock,
    )
    return product


def category_of(name: str) -> Any:
    return Category.objects.get(name=name)


def product_of(title: str) -> Any:
    return Product.objects.get(title=title)


def user_of(name: str) -> Any:
    return User.objects.get(username=name)


def basket_of(name: str) -> Any:
    basket, _ = Basket.open.get_or_create(owner=user_of(name))
    basket.strategy = Default()
    return basket


def place(name: str) -> Any:
    """Order what lies in a basket."""
    basket, method = basket_of(name), Free()
    charge = method.calculate(basket)
    surcharges = SurchargeApplicator().get_applicable_surcharges(basket)
    address = ShippingAddress.objects.create(
        first_name=name.title(),
        last_name="Miller",
        line1="1 Mill Lane",
        line4="Oxford",
        postcode="OX1 1AA",
        country=Country.objects.get(),
    )
    order = OrderCreator().place_order(
        basket=basket,
        user=user_of(name),
        total=OrderTotalCalculator().calculate(basket, charge, surcharges),
        shipping_method=method,
        shipping_charge=charge,
        shipping_address=address,
        surcharges=surcharges,
    )
    basket.submit()
    return order


def sql(text: str, *arguments: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, arguments)


@act
def a_product_is_added() -> None:
    make("Hills", "Poems", "5.00", 12)


@act
def attributes_are_set() -> None:
    product = product_of("Hills")
    product.attr.size = AttributeOption.objects.get(option="Small")
    product.attr.signed = True
    product.attr.pages = 99
    product.save()


@act
def an_option_is_renamed_by_raw_sql() -> None:
    sql("UPDATE catalogue_attributeoption SET option = 'Tiny' WHERE option = 'Small'")


@act
def ann_fills_a_basket() -> None:
    basket_of("ann").add_product(product_of("Leaves"), 2)


@act
def ann_adds_more() -> None:
    basket = basket_of("ann")
    basket.add_product(product_of("Hills"), 1)
    basket.add_product(product_of("Leaves"), 1)


@act
def bob_fills_a_basket() -> None:
    basket_of("bob").add_product(product_of("Leaves"), 4)


@act
def a_price_changes() -> None:
    record = product_of("Leaves").stockrecords.get()
    record.price = Decimal("13.75")
    record.save()


@act
def ann_orders() -> None:
    place("ann")


@act
def bob_orders() -> None:
    place("bob")


@act
def an_order_is_processed() -> None:
    Order.objects.get(user__username="ann").set_status("Being processed")


@act
def an_order_is_shipped() -> None:
    order = Order.objects.get(user__username="ann")
    shipped = ShippingEventType.objects.create(name="Shipped")
    lines = list(order.lines.all())
    EventHandler(user_of("bob")).handle_shipping_event(
        order, shipped, lines, [line.quantity for line in lines]
    )
    EventHandler().consume_stock_allocations(order)


@act
def an_order_is_cancelled() -> None:
    order = Order.objects.get(user__username="bob")
    EventHandler().cancel_stock_allocations(order)
    order.set_status("Cancelled")


@act
def a_category_is_moved() -> None:
    category_of("Long ones").move(category_of("Poems"), "first-child")


@act
def a_category_is_renamed() -> None:
    category = category_of("Poems")
    category.name, category.slug = "Verse", "verse"
    category.save()


@act
def a_category_is_hidden() -> None:
    category = category_of("Novels")
    category.is_public = False
    category.save()


@act
def categories_are_added() -> None:
    create_from_breadcrumbs("Games > Board games > Old ones")
    category_of("Board games").add_sibling("left", name="Card games", slug="card-games")


@act
def a_catalogue_is_imported() -> None:
    rows = [
        ["Book", "Books > Plays", "play-1", "Storms", "A play", "Old Mill", "p1", "4.20", "30"],
        ["Game", "Games > Card games", "game-1", "Whist", "", "New Mill", "g1", "6.00", "2"],
        ["Book", "Books > Verse", "hills", "Hills", "again", "Old Mill", "h2", "5.50", "9"],
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        csv.writer(file).writerows(rows)
        file.flush()
        CatalogueImporter(logging.getLogger("oscar")).handle(file.name)


@act
def ann_reviews() -> None:
    product_of("Leaves").reviews.create(user=user_of("ann"), score=4, title="Fine", body="Read it")


@act
def nobody_and_bob_review() -> None:
    with transaction.atomic():
        review = {"body": "So so", "status": ProductReview.APPROVED}
        product_of("Leaves").reviews.create(
            name="Someone", email="s@example.com", score=1, title="Dull", **review
        )
        product_of("Hills").reviews.create(user=user_of("bob"), score=5, title="High", **review)


@act
def a_review_is_voted_for() -> None:
    ProductReview.objects.get(title="Dull").vote_down(user_of("ann"))
    ProductReview.objects.get(title="High").vote_up(user_of("ann"))


@act
def a_review_is_rejected() -> None:
    review = ProductReview.objects.get(title="Dull")
    review.status = ProductReview.REJECTED
    review.save()


@act
def ann_wishes() -> None:
    WishList.objects.create(owner=user_of("ann"), name="Birthday").add(product_of("Rivers"))


@act
def a_wish_is_shared_with_bob() -> None:
    wishes = WishList.objects.get()
    wishes.visibility = WishList.SHARED
    wishes.save()
    wishes.shared_emails.create(email="bob@example.com")
    wishes.add(product_of("Rivers"))


@act
def bob_takes_another_address() -> None:
    User.objects.filter(username="bob").update(email="robert@example.com")


@act
def a_product_gets_children() -> None:
    parent = product_of("Rivers")
    parent.stockrecords.all().delete()
    parent.structure = Product.PARENT
    parent.save()
    for number in (1, 2):
        child = Product.objects.create(
            parent=parent, structure=Product.CHILD, title=f"Volume {number}", upc=f"r{number}"
        )
        StockRecord.objects.create(
            product=child,
            partner=Partner.objects.first(),
            partner_sku=f"r{number}",
            price=7,
            num_in_stock=number,
        )


@act
def a_child_is_hidden() -> None:
    Product.objects.filter(title="Volume 2").update(is_public=False)


@act
def an_offer_is_made() -> None:
    everything = Range.objects.create(name="Everything", includes_all_products=True)
    ConditionalOffer.objects.create(
        name="Ten percent",
        condition=Condition.objects.create(range=everything, type="Count", value=1),
        benefit=Benefit.objects.create(range=everything, type="Percentage", value=10),
    )


@act
def stock_changes_by_raw_sql() -> None:
    sql("UPDATE partner_stockrecord SET num_in_stock = num_in_stock + 45")


@act
def prices_rise_in_bulk() -> None:
    records = list(StockRecord.objects.all())
    for record in records:
        record.price = record.price * 2
    StockRecord.objects.bulk_update(records, ["price"])


@act
def baskets_are_merged() -> None:
    basket = basket_of("ann")
    basket.add_product(product_of("Hills"), 3)
    lost = Basket.objects.create(owner=None)
    lost.strategy = Default()
    lost.add_product(product_of("Storms"), 1)
    basket.merge(lost)


@act
def a_basket_is_emptied() -> None:
    basket_of("ann").flush()


@act
def a_partner_is_renamed() -> None:
    Partner.objects.filter(name="Old Mill").update(name="Very Old Mill")


@act
def what_is_rolled_back_is_not_seen() -> None:
    with transaction.atomic():
        Product.objects.update(title="gone")
        category_of("Games").delete()
        transaction.set_rollback(True)


@act
def a_category_goes_with_all_below_it() -> None:
    category_of("Games").delete()


@act
def a_product_is_deleted() -> None:
    product_of("Leaves").delete()


@act
def a_line_changes_by_raw_sql() -> None:
    sql("UPDATE order_line SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM order_line)")


@act
def the_tree_is_mended() -> None:
    sql("UPDATE catalogue_category SET numchild = 7 WHERE depth = 1")
    Category.fix_tree()
