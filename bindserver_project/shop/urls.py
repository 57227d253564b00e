from __future__ import annotations

from django.urls import path

from . import views

app_name = "shop"

urlpatterns = [
    path("", views.index, name="index"),
    path("products/new/", views.save_product, name="add"),
    path("products/<int:pk>/", views.save_product, name="change"),
    path("busy/", views.keep_busy, name="busy"),
]
