"""Which columns django-modeltranslation has once for each language."""

from modeltranslation.translator import TranslationOptions, register

from tests.strangers.habits.models import Dish


@register(Dish)
class DishOptions(TranslationOptions):
    fields = ("name", "note", "rank")
