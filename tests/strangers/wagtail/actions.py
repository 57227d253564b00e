"""What happens on the site, by Wagtail's own code and by raw SQL."""

from __future__ import annotations

import datetime
from io import BytesIO
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.core.files.images import ImageFile
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from PIL import Image as Picture
from wagtail.admin.views.pages.bulk_actions.delete import DeleteBulkAction
from wagtail.admin.views.pages.bulk_actions.move import MoveBulkAction
from wagtail.admin.views.pages.bulk_actions.publish import PublishBulkAction
from wagtail.admin.views.pages.bulk_actions.unpublish import UnpublishBulkAction
from wagtail.images.models import Image
from wagtail.models import Collection, GroupPagePermission, Page, PageViewRestriction, Site

from tests.strangers.views import Actions
from tests.strangers.wagtail.models import (
    Author,
    BlogIndexPage,
    BlogPage,
    BlogPageImage,
    EventPage,
    Topic,
)

LEAST = 25
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Lay out the site."""
    Site.objects.all().delete()
    Page.objects.filter(depth=2).first().delete()
    root = Page.objects.get(depth=1)
    home = root.add_child(instance=Page(title="Home", slug="home"))
    Site.objects.create(hostname="localhost", root_page=home, is_default_site=True)
    blog = home.add_child(instance=BlogIndexPage(title="Blog", slug="blog", intro="<p>All</p>"))
    for name in ("Mara", "Nils"):
        Author.objects.create(name=name)
        Topic.objects.create(name=f"{name}'s topic")
    post(blog, "Waves", "Mara", "sea")
    post(blog, "Peaks", "Nils", "hills", "snow")
    User.objects.create_superuser("root")
    editors = Group.objects.create(name="Blog's editors")
    editors.user_set.add(ann)
    may(editors, blog, "change_page")


def may(group: Any, page: Any, codename: str) -> None:
    permission = Permission.objects.get(codename=codename, content_type__app_label="wagtailcore")
    GroupPagePermission.objects.create(group=group, page=page, permission=permission)


def post(parent: Any, title: str, author: str, *tags: str, live: bool = True) -> Any:
    page = BlogPage(
        title=title,
        date=datetime.date(2026, 1, len(title)),
        author=Author.objects.get(name=author),
        live=live,
        owner=User.objects.get(username="ann"),
        body=[("heading", title), ("text", f"<p>Of {title}</p>")],
    )
    parent.add_child(instance=page)
    page.tags.add(*tags)
    page.save()
    return page


def page_of(title: str) -> Any:
    return Page.objects.get(title=title, alias_of=None).specific


def user_of(name: str) -> Any:
    return User.objects.get(username=name)


def editor() -> Any:
    """Return who may do everything."""
    return user_of("root")


def picture(title: str, *tags: str) -> Any:
    file = BytesIO()
    Picture.new("RGB", (40, 30), "white").save(file, "PNG")
    file.seek(0)
    image = Image.objects.create(title=title, file=ImageFile(file, f"{title.lower()}.png"))
    image.tags.add(*tags)
    return image


def sql(text: str, *arguments: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, arguments)


@act
def a_post_is_published() -> None:
    page = post(page_of("Blog"), "Dunes", "Mara", "sea", "sand", live=False)
    page.save_revision(user=editor()).publish(user=editor())


@act
def an_event_is_announced() -> None:
    page_of("Home").add_child(
        instance=EventPage(title="Fair", place="Harbour", starts=timezone.now(), show_in_menus=True)
    )


@act
def a_post_is_drafted() -> None:
    page = page_of("Waves")
    page.title = "High waves"
    page.save_revision(user=editor(), log_action=True)


@act
def the_draft_is_published() -> None:
    page = Page.objects.get(slug="waves").specific
    page.get_latest_revision().publish(user=editor())


@act
def an_author_is_renamed() -> None:
    Author.objects.filter(name="Mara").update(name="Mara M.")


@act
def tags_change() -> None:
    page = page_of("Peaks")
    page.tags.add("sea")
    page.tags.remove("snow")
    page.save()


@act
def a_tag_is_renamed_by_raw_sql() -> None:
    sql("UPDATE taggit_tag SET name = 'hill' WHERE name = 'hills'")
    sql("UPDATE taggit_tag SET name = 'hills' WHERE name = 'sand'")


@act
def topics_are_set() -> None:
    page = page_of("Peaks")
    page.topics = Topic.objects.all()
    page.save_revision().publish()


@act
def pictures_are_uploaded() -> None:
    picture("Cliff", "sea")
    picture("Tower")


@act
def a_gallery_is_hung() -> None:
    page = page_of("Dunes")
    for number, image in enumerate(Image.objects.order_by("title")):
        page.gallery.add(BlogPageImage(image=image, caption=f"No. {number}", sort_order=number))
    page.save()


@act
def blocks_are_laid() -> None:
    page = page_of("Dunes")
    page.body.append(("image", Image.objects.get(title="Tower")))
    page.body.append(("page", page_of("Peaks")))
    page.save_revision().publish()


@act
def a_page_in_a_block_is_renamed() -> None:
    page = page_of("Peaks")
    page.title = "Low peaks"
    page.save()


@act
def a_picture_is_scaled() -> None:
    Image.objects.get(title="Cliff").get_rendition("width-20")


@act
def a_page_is_closed() -> None:
    PageViewRestriction.objects.create(
        page=page_of("Dunes"), restriction_type=PageViewRestriction.LOGIN
    )


@act
def a_page_is_moved() -> None:
    page_of("Fair").move(page_of("Blog"), pos="first-child", user=editor())


@act
def an_alias_is_made() -> None:
    page_of("Fair").create_alias(parent=page_of("Home"), update_slug="fair-too")


@act
def a_page_with_an_alias_changes() -> None:
    page = page_of("Fair")
    page.place = "Market"
    page.save_revision().publish()


@act
def the_blog_is_copied() -> None:
    page_of("Blog").copy(
        recursive=True, update_attrs={"title": "Archive", "slug": "archive"}, user=editor()
    )


@act
def pages_are_unpublished_in_bulk() -> None:
    pages = list(BlogPage.objects.descendant_of(page_of("Archive")))
    UnpublishBulkAction.execute_action(pages, user=editor())


@act
def bob_may_edit_the_archive() -> None:
    group = Group.objects.create(name="Archivists")
    group.user_set.add(user_of("bob"))
    may(group, page_of("Archive"), "change_page")


@act
def ann_may_edit_all() -> None:
    may(Group.objects.get(name="Blog's editors"), page_of("Home"), "change_page")


@act
def pages_are_published_in_bulk() -> None:
    PublishBulkAction.execute_action([page_of("Archive")], include_descendants=True)


@act
def pages_are_moved_in_bulk() -> None:
    pages = list(BlogPage.objects.child_of(page_of("Archive"))[:2])
    with transaction.atomic():
        for page in pages:
            page.slug = f"old-{page.slug}"
            page.save()
        MoveBulkAction.execute_action(pages, destination=page_of("Home"), user=editor())


@act
def a_post_is_scheduled_and_goes_live() -> None:
    page = post(page_of("Blog"), "Tides", "Nils", "sea", live=False)
    page.go_live_at = timezone.now() + datetime.timedelta(days=1)
    page.save_revision().publish()
    BlogPage.objects.filter(pk=page.pk).update(go_live_at=timezone.now())
    page.revisions.update(approved_go_live_at=timezone.now() - datetime.timedelta(days=1))
    call_command("publish_scheduled")


@act
def an_old_revision_comes_back() -> None:
    page = BlogPage.objects.descendant_of(page_of("Blog")).get(slug="dunes")
    first = page.revisions.order_by("created_at").first()
    first.publish(user=editor())


@act
def the_restriction_is_lifted() -> None:
    PageViewRestriction.objects.get().delete()


@act
def a_subtree_is_closed_to_all_but_a_group() -> None:
    restriction = PageViewRestriction.objects.create(
        page=page_of("Blog"), restriction_type=PageViewRestriction.GROUPS
    )
    restriction.groups.add(Group.objects.get(name="Archivists"))


@act
def titles_change_by_raw_sql() -> None:
    sql("UPDATE wagtailcore_page SET title = title || '!' WHERE depth = 4")


@act
def an_author_goes() -> None:
    Author.objects.get(name="Nils").delete()


@act
def a_picture_moves_to_a_collection() -> None:
    coast = Collection.get_first_root_node().add_child(name="Coast")
    Image.objects.filter(title="Cliff").update(collection=coast)
    coast.name = "Coasts"
    coast.save()


@act
def a_picture_is_deleted() -> None:
    Image.objects.get(title="Tower").delete()


@act
def what_is_rolled_back_is_not_seen() -> None:
    with transaction.atomic():
        Page.objects.update(title="gone")
        page_of_slug("blog").delete()
        transaction.set_rollback(True)


def page_of_slug(slug: str) -> Any:
    return Page.objects.get(slug=slug).specific


@act
def ann_may_edit_no_more() -> None:
    user_of("ann").groups.clear()


@act
def bob_rules() -> None:
    User.objects.filter(username="bob").update(is_superuser=True)


@act
def a_page_goes_with_all_below_it() -> None:
    page_of_slug("archive").delete(user=editor())


@act
def pages_are_deleted_in_bulk() -> None:
    pages = list(Page.objects.filter(slug__startswith="old-"))
    DeleteBulkAction.execute_action(pages, user=editor())


@act
def the_tree_is_mended() -> None:
    sql("UPDATE wagtailcore_page SET numchild = 9 WHERE depth = 3")
    Page.fix_tree()
