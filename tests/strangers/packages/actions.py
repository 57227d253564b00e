"""What happens, by each package's own code."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.utils import translation
from guardian.shortcuts import assign_perm, remove_perm
from simple_history.utils import bulk_create_with_history, bulk_update_with_history
from taggit.models import Tag

from tests.strangers.packages.models import (
    Article,
    Bar,
    Book,
    Film,
    Hall,
    Item,
    Place,
    Task,
    Topic,
)
from tests.strangers.packages.serializers import ArticleSerializer, TaskSerializer
from tests.strangers.views import Actions

LEAST = 30
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Make a few rows of each."""
    Group.objects.create(name="crew").user_set.add(bob)
    waves = Article.objects.language("en").create(slug="waves", title="Waves")
    waves.tags.add("sea")
    waves.create_translation("de", title="Wellen")
    Article.objects.language("en").create(slug="peaks", title="Peaks")
    art = Topic.objects.create(name="Art")
    paint = Topic.objects.create(name="Paint", parent=art)
    Topic.objects.create(name="Oil", parent=paint)
    Topic.objects.create(name="Trade")
    book = Book.objects.create(name="Sea", pages=90)
    Film.objects.create(name="Sea, the film", minutes=120, after=book)
    Item.objects.create(name="Thing")
    Bar.objects.create(name="Anchor", beers=3)
    Hall.objects.create(name="Great hall", seats=300)
    Place.objects.create(name="Nowhere")
    for n, name in enumerate(("Sweep", "Mend", "Sail")):
        task = Task.all_objects.create(name=name, points=n * 4, topic=paint)
        task.steps.create(name=f"{name} first")
        assign_perm("see_task", ann, task)


@act
def a_translation_is_made() -> None:
    article = Article.objects.get(slug="peaks")
    article.set_current_language("de")
    article.title = "Gipfel"
    article.save()


@act
def a_translation_is_changed_by_a_serializer() -> None:
    article = Article.objects.get(slug="waves")
    data = {"translations": {"fr": {"title": "Vagues"}}, "tags": ["sea", "salt"]}
    serializer = ArticleSerializer(article, data=data, partial=True)
    serializer.is_valid(raise_exception=True)
    serializer.save()


@act
def a_translation_is_changed_under_another_language() -> None:
    with translation.override("fr"):
        article = Article.objects.get(slug="waves")
        article.title = "Les vagues"
        article.save()


@act
def translations_change_in_bulk() -> None:
    model = Article._parler_meta.root_model
    model.objects.filter(language_code="de").update(body="Neu")


@act
def a_translation_goes() -> None:
    Article.objects.get(slug="waves").delete_translation("de")


@act
def an_article_is_tagged() -> None:
    Article.objects.get(slug="peaks").tags.set(["hills", "snow"])


@act
def a_tag_is_renamed_by_raw_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE taggit_tag SET name = 'hills' WHERE name = 'salt' AND 1 = 0")
        cursor.execute("UPDATE taggit_tag SET name = 'heights' WHERE name = 'snow'")


@act
def a_tag_goes() -> None:
    Tag.objects.get(name="sea").delete()


@act
def an_article_goes() -> None:
    Article.objects.get(slug="waves").delete()


@act
def a_book_is_made() -> None:
    Book.objects.create(name="Alps", pages=210)


@act
def a_book_grows() -> None:
    Book.objects.filter(name="Sea").update(pages=130)


@act
def a_film_follows_another_book() -> None:
    film = Item.objects.get(name="Sea, the film")
    film.after = Book.objects.get(name="Alps")
    film.minutes = 95
    film.save()


@act
def all_items_are_renamed() -> None:
    for item in Item.objects.all():
        item.name = item.name.upper()
        item.save()


@act
def a_book_goes() -> None:
    Book.objects.get(name="ALPS").delete()


@act
def items_change_in_bulk() -> None:
    items = list(Item.objects.non_polymorphic())
    for item in items:
        item.name = item.name.title()
    Item.objects.bulk_update(items, ["name"])


@act
def a_place_becomes_a_bar() -> None:
    place = Place.objects.get(name="Nowhere")
    bar = Bar(place_ptr=place, beers=9)
    bar.__dict__.update({"name": "Somewhere"})
    bar.save()


@act
def a_bar_is_a_place_again() -> None:
    Bar.objects.get(name="Somewhere").delete(keep_parents=True)


@act
def a_hall_grows() -> None:
    Hall.objects.update(seats=400)


@act
def a_topic_moves() -> None:
    Topic.objects.get(name="Paint").move_to(Topic.objects.get(name="Trade"), "first-child")


@act
def a_topic_is_inserted() -> None:
    Topic.objects.create(name="Acrylic", parent=Topic.objects.get(name="Paint"))


@act
def a_topic_is_renamed_and_moves_back() -> None:
    topic = Topic.objects.get(name="Paint")
    topic.name = "Painting"
    topic.parent = Topic.objects.get(name="Art")
    topic.save()


@act
def a_tree_is_rebuilt() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE packages_topic SET lft = 0, rght = 0")
    Topic.objects.rebuild()


@act
def a_tree_is_loaded_while_updates_are_delayed() -> None:
    with transaction.atomic(), Topic.objects.delay_mptt_updates():
        music = Topic.objects.create(name="Music")
        Topic.objects.create(name="Waltz", parent=music)


@act
def a_topic_goes_with_all_below() -> None:
    Topic.objects.get(name="Acrylic").delete()
    Topic.objects.get(name="Trade").delete()


def task(name: str) -> Any:
    return Task.all_objects.get(name=name)


@act
def a_task_is_deleted_softly() -> None:
    task("Mend").delete()


@act
def a_task_comes_back() -> None:
    Task.all_objects.filter(name="Mend").update(is_removed=False)


@act
def a_task_is_written_with_its_steps() -> None:
    data = {
        "name": "Build",
        "points": 7,
        "topic": Topic.objects.get(name="Oil").pk,
        "steps": [{"name": "plan"}, {"name": "saw"}],
    }
    serializer = TaskSerializer(data=data)
    serializer.is_valid(raise_exception=True)
    serializer.save()


@act
def a_task_is_written_with_other_steps() -> None:
    build = task("Build")
    data = {"points": 3, "steps": [{"id": build.steps.first().pk, "name": "think"}]}
    serializer = TaskSerializer(build, data=data, partial=True)
    serializer.is_valid(raise_exception=True)
    serializer.save()


@act
def tasks_change_in_bulk_with_their_history() -> None:
    tasks = list(Task.all_objects.all())
    for each in tasks:
        each.points += 2
    bulk_update_with_history(tasks, Task, ["points"], manager=Task.all_objects)


@act
def tasks_are_made_in_bulk_with_their_history() -> None:
    tasks = [Task(name=f"Chore {n}", points=n, topic=Topic.objects.first()) for n in range(3)]
    bulk_create_with_history(tasks, Task)


@act
def a_task_goes_back_in_time() -> None:
    task("Sail").history.earliest().instance.save()


@act
def a_history_entry_is_without_a_user() -> None:
    build = task("Build")
    build._history_user = User.objects.get(username="ann")
    build.points = 40
    build.save()


@act
def a_user_may_see_a_task() -> None:
    assign_perm("see_task", User.objects.get(username="bob"), task("Sail"))


@act
def a_group_may_see_tasks() -> None:
    assign_perm("see_task", Group.objects.get(name="crew"), Task.all_objects.filter(points__gt=3))


@act
def a_user_may_no_more() -> None:
    remove_perm("see_task", User.objects.get(username="ann"), task("Sweep"))


@act
def a_user_leaves_a_group() -> None:
    Group.objects.get(name="crew").user_set.clear()


@act
def a_task_goes_for_good() -> None:
    task("Sweep").delete(soft=False)


@act
def the_history_is_cleaned() -> None:
    Task.history.filter(name="Sweep").delete()
