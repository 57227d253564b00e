"""The settings of a project with django-tenants."""

from __future__ import annotations

import os

import dj_database_url

SECRET_KEY = "for-tests-only"
ALLOWED_HOSTS = ["*"]
SHARED_APPS = [
    "django_tenants",
    "tests.projects.tenants.customers",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "bindserver",
]
TENANT_APPS = ["tests.projects.tenants.shop"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
MIGRATION_MODULES = {"customers": None}
DATABASES = {
    "default": {
        **dj_database_url.parse(os.environ["DATABASE_URL"]),
        "ENGINE": "django_tenants.postgresql_backend",
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
TENANT_MODEL = "customers.Customer"
TENANT_DOMAIN_MODEL = "customers.Domain"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = ["django_tenants.middleware.main.TenantMainMiddleware"]
ROOT_URLCONF = "tests.projects.tenants.urls"
USE_TZ = True
