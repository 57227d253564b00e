"""A project of small models, each on a package with habits of its own about columns and rows."""

from tests.strangers.base_settings import *

INSTALLED_APPS = [
    "modeltranslation",
    *DJANGO_APPS,
    "djmoney",
    "reversion",
    "auditlog",
    "safedelete",
    "treebeard",
    "ordered_model",
    *OUR_APPS,
    "tests.strangers.habits.apps.Habits",
]
LANGUAGES = [("en", "English"), ("de", "German")]
MODELTRANSLATION_DEFAULT_LANGUAGE = "en"
MODELTRANSLATION_FALLBACK_LANGUAGES = ("en",)
MODELTRANSLATION_TRANSLATION_FILES = ("tests.strangers.habits.languages",)
ROOT_URLCONF = "tests.strangers.habits.urls"
