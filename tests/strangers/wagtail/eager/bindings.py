"""What Wagtail's `public()` reads here would be kept until the process ends."""

from wagtail.models import Page

from bindserver import Binding


class FrozenBinding(Binding):
    event = "frozen"
    queryset = Page.objects.live().public()
    fields = ["id", "title"]
