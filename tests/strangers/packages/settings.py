"""A project of small models, each on a package that changes how Django reads and writes."""

from tests.strangers.base_settings import *

INSTALLED_APPS = [
    *DJANGO_APPS,
    "parler",
    "polymorphic",
    "simple_history",
    "mptt",
    "taggit",
    "guardian",
    "django_filters",
    "rest_flex_fields",
    *OUR_APPS,
    "tests.strangers.packages.apps.Packages",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
LANGUAGES = [("en", "English"), ("de", "German"), ("fr", "French")]
PARLER_LANGUAGES = {
    1: [{"code": "en"}, {"code": "de"}, {"code": "fr"}],
    "default": {"fallbacks": ["en"], "hide_untranslated": False},
}
ROOT_URLCONF = "tests.strangers.packages.urls"
