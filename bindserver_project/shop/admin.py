from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from .models import Category, Product

if TYPE_CHECKING:
    CategoryModelAdmin = admin.ModelAdmin[Category]
    ProductModelAdmin = admin.ModelAdmin[Product]
else:
    CategoryModelAdmin = ProductModelAdmin = admin.ModelAdmin

admin.site.site_header = "Harbour & Pine"
admin.site.site_title = "Harbour & Pine"
admin.site.index_title = "Behind the counter"


@admin.register(Product)
class ProductAdmin(ProductModelAdmin):
    list_display = ["name", "sku", "category", "price", "stock", "active"]
    list_editable = ["price", "stock", "active"]
    list_filter = ["active", "category"]
    list_select_related = ["category"]
    list_per_page = 50
    search_fields = ["name", "sku", "category__name"]
    readonly_fields = ["updated_at"]
    save_on_top = True


@admin.register(Category)
class CategoryAdmin(CategoryModelAdmin):
    list_display = ["name", "products_in_the_shop"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        shown = Count("products", filter=Q(products__active=True))
        queryset: QuerySet[Category] = super().get_queryset(request).annotate(shown=shown)
        return queryset

    @admin.display(ordering="shown")
    def products_in_the_shop(self, category: Category) -> int:
        return int(getattr(category, "shown", 0))
