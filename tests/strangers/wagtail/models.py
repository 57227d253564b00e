"""A blog's pages: with authors, tags, blocks, related things and pictures."""

from __future__ import annotations

from django.db import models
from modelcluster.contrib.taggit import ClusterTaggableManager
from modelcluster.fields import ParentalKey, ParentalManyToManyField
from taggit.models import TaggedItemBase
from wagtail import blocks
from wagtail.fields import RichTextField, StreamField
from wagtail.images.blocks import ImageChooserBlock
from wagtail.models import Orderable, Page
from wagtail.snippets.models import register_snippet


@register_snippet
class Author(models.Model):
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.name


@register_snippet
class Topic(models.Model):
    name = models.CharField(max_length=80)

    def __str__(self) -> str:
        return self.name


class BlogIndexPage(Page):
    intro = RichTextField(blank=True)


class BlogPageTag(TaggedItemBase):
    content_object = ParentalKey(
        "blog.BlogPage", related_name="tagged_items", on_delete=models.CASCADE
    )


class BlogPage(Page):
    date = models.DateField()
    author = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL, related_name="posts")
    body = StreamField(
        [
            ("heading", blocks.CharBlock()),
            ("text", blocks.RichTextBlock()),
            ("image", ImageChooserBlock()),
            ("page", blocks.PageChooserBlock()),
        ],
        blank=True,
    )
    topics = ParentalManyToManyField(Topic, blank=True)
    tags = ClusterTaggableManager(through=BlogPageTag, blank=True)


class BlogPageImage(Orderable):
    page = ParentalKey(BlogPage, on_delete=models.CASCADE, related_name="gallery")
    image = models.ForeignKey("wagtailimages.Image", on_delete=models.CASCADE, related_name="+")
    caption = models.CharField(blank=True, max_length=250)


class EventPage(Page):
    place = models.CharField(max_length=80)
    starts = models.DateTimeField()
