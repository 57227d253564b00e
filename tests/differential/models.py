"""Models of many kinds, for queries and serializers that are generated over them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class Shelf(models.Model):
    """What most others hang on; ordered by a text."""

    name = models.CharField(max_length=20)
    rank = models.IntegerField(null=True)

    objects: ClassVar[models.Manager[Shelf]] = models.Manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    """A model whose key is a text."""

    label = models.CharField(max_length=10, primary_key=True)
    weight = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Tag]] = models.Manager()

    class Meta:
        ordering = ["label"]

    def __str__(self) -> str:
        return self.label


class Item(models.Model):
    """A column of most types, and relations of each kind. `score1` is what Django makes of a second
    `score`."""

    name = models.CharField(max_length=20)
    note = models.TextField(default="")
    score = models.IntegerField(default=0)
    score1 = models.IntegerField(default=0)
    id1 = models.IntegerField(null=True)
    amount = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    real = models.FloatField(null=True)
    active = models.BooleanField(default=True)
    size = models.CharField(max_length=1, choices=[("s", "Small"), ("l", "Large")], default="s")
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    span = models.DurationField(null=True)
    uid = models.UUIDField(null=True)
    data = models.JSONField(null=True)
    wide = models.BigIntegerField(default=0)
    shelf = models.ForeignKey(Shelf, models.SET_NULL, null=True, related_name="items")
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")
    tags = models.ManyToManyField(Tag, related_name="items")
    friends = models.ManyToManyField("self")

    objects: ClassVar[models.Manager[Item]] = models.Manager()

    @property
    def title(self) -> str:
        """What a serializer reads of a related row, and no query says."""
        return f"{self.name} on {self.shelf.name if self.shelf else 'nothing'}"

    def __str__(self) -> str:
        return self.name


class Special(Item):
    """A child with a table of its own: its key is its parent's."""

    extra = models.CharField(max_length=20, default="")
    level = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Special]] = models.Manager()

    class Meta:
        ordering = ["-level"]


class Entry(models.Model):
    """Many of them belong to an item."""

    item = models.ForeignKey(Item, models.CASCADE, related_name="entries")
    quantity = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Entry]] = models.Manager()

    class Meta:
        ordering = ["quantity", "id"]

    def __str__(self) -> str:
        return f"{self.quantity}"


class Seat(models.Model):
    """A model whose key is another's."""

    item = models.OneToOneField(Item, models.CASCADE, primary_key=True, related_name="seat")
    number = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Seat]] = models.Manager()


class Ticket(models.Model):
    """A model whose key is a UUID."""

    uid = models.UUIDField(primary_key=True)
    shelf = models.ForeignKey(Shelf, models.CASCADE, null=True, related_name="tickets")
    count = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager[Ticket]] = models.Manager()

    class Meta:
        ordering = ["-count"]


class Dated(models.Model):
    """A model whose key is a day."""

    day = models.DateField(primary_key=True)
    text = models.CharField(max_length=20, default="")

    objects: ClassVar[models.Manager[Dated]] = models.Manager()


class Wide(models.Model):
    """A model whose keys JavaScript cannot count, in a table of an odd name."""

    id = models.BigIntegerField(primary_key=True)
    pk1 = models.IntegerField(default=0, db_column="odd Name")
    key = models.CharField(max_length=20, default="")
    shelf = models.ForeignKey(
        Shelf, models.CASCADE, null=True, db_column="theShelf", related_name="+"
    )

    objects: ClassVar[models.Manager[Wide]] = models.Manager()

    class Meta:
        db_table = "Differential Wide"


class LivingQuerySet(models.QuerySet["Draft"]):
    """Says what it means in words of its own."""

    def heavy(self, least: int) -> LivingQuerySet:
        return self.filter(weight__gte=least)


class Living(models.Manager["Draft"]):
    """Hides what is deleted."""

    def get_queryset(self) -> Any:
        return LivingQuerySet(self.model, using=self._db).filter(deleted=False)


class Draft(models.Model):
    """A model whose rows are deleted by a mark."""

    shelf = models.ForeignKey(Shelf, models.CASCADE, null=True, related_name="drafts")
    weight = models.IntegerField(default=0)
    deleted = models.BooleanField(default=False)

    objects = Living()
    every: ClassVar[models.Manager[Draft]] = models.Manager()


class Labelled(models.QuerySet["Label"]):
    """Tells its rows in which voice they speak, once they are all there, as django-parler does."""

    def _clone(self) -> Any:
        clone = super()._clone()  # type: ignore[misc]  # types leave it out
        clone.voice = getattr(self, "voice", "low")
        return clone

    def loudly(self) -> Any:
        clone = self._clone()
        clone.voice = "high"
        return clone

    def _fetch_all(self) -> None:
        super()._fetch_all()
        for row in self._result_cache or ():
            if isinstance(row, Label):
                row.voice = getattr(self, "voice", "low")


class Label(models.Model):
    """A model whose queryset fills in what is no column."""

    text = models.CharField(max_length=20, default="")
    rank = models.IntegerField(default=0)
    voice = ""

    objects = models.Manager.from_queryset(Labelled)()

    @property
    def spoken(self) -> str:
        return f"{self.voice}:{self.text}"


class Read(models.Model):
    """A model that makes something of what it reads."""

    text = models.CharField(max_length=20, default="")
    rank = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Read]] = models.Manager()

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **given: Any) -> Any:
        row = super().from_db(db, field_names, values, **given)
        if "text" in row.__dict__:
            row.text = row.text.upper()
        return row


class Negated(models.IntegerField):  # type: ignore[type-arg]  # it takes none at run time
    """Keeps a number's opposite, so that Python sorts otherwise than the database."""

    def from_db_value(self, value: Any, *_: Any) -> Any:
        return None if value is None else -value

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return None if value is None else -value


class Odd(models.Model):
    """Columns that are not what their class says."""

    score = models.IntegerField(default=0)
    points = Negated(default=0)
    double = models.GeneratedField(
        expression=models.F("score") * 2, output_field=models.IntegerField(), db_persist=True
    )

    objects: ClassVar[models.Manager[Odd]] = models.Manager()


class Seen(models.Manager["Hidden"]):
    """Hides what is deleted, from Django itself too."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(deleted=False)


class Hidden(models.Model):
    """A model whose base manager hides rows."""

    shelf = models.ForeignKey(Shelf, models.CASCADE, null=True, related_name="+")
    weight = models.IntegerField(default=0)
    deleted = models.BooleanField(default=False)

    objects = Seen()
    every: ClassVar[models.Manager[Hidden]] = models.Manager()

    class Meta:
        base_manager_name = "objects"
