"""A site on Wagtail, as `wagtail start` makes one."""

import os

from tests.strangers.base_settings import *

INSTALLED_APPS = [
    "tests.strangers.wagtail.apps.Site",
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    *DJANGO_APPS,
    *OUR_APPS,
]
if os.environ.get("STRANGERS_EAGER"):
    INSTALLED_APPS.append("tests.strangers.wagtail.eager")
MIDDLEWARE = [
    *MIDDLEWARE,
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]
WAGTAIL_SITE_NAME = "Blog"
WAGTAILADMIN_BASE_URL = "http://localhost"
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database"}}
ROOT_URLCONF = "tests.strangers.wagtail.urls"
