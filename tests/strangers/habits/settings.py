"""A project of small models, each on a package with habits of its own about columns and rows."""

from tests.strangers.base_settings import *  # noqa: F403

INSTALLED_APPS = [
    "modeltranslation",
    *DJANGO_APPS,  # noqa: F405
    "djmoney",
    "reversion",
    "auditlog",
    "safedelete",
    "treebeard",
    "ordered_model",
    *OUR_APPS,  # noqa: F405
    "tests.strangers.habits.apps.Habits",
]
LANGUAGES = [("en", "English"), ("de", "German")]
MODELTRANSLATION_DEFAULT_LANGUAGE = "en"
MODELTRANSLATION_FALLBACK_LANGUAGES = ("en",)
MODELTRANSLATION_TRANSLATION_FILES = ("tests.strangers.habits.languages",)
ROOT_URLCONF = "tests.strangers.habits.urls"
