from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms

from .models import Product

if TYPE_CHECKING:
    ProductModelForm = forms.ModelForm[Product]
else:
    ProductModelForm = forms.ModelForm


class ProductForm(ProductModelForm):
    class Meta:
        model = Product
        fields = ["name", "sku", "category", "price", "stock", "active"]
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
            "sku": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        }
