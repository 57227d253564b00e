"""What queries, serializers and bindings are put together from, model by model.

`{n}` stands for a small number, `{k}` for a key, `{t}` for a tag, `{s}` for the beginning of a name.
"""

from __future__ import annotations

from tests.differential.pieces import Menu, Piece, declared, step, value
from tests.differential.typed_menu import TYPED_MENUS

ITEM_STEPS = (
    step(".filter(score__gt={n})"),
    step(".filter(score__gt={n})"),
    step(".exclude(score={n})"),
    step(".filter(active=True)"),
    step(".filter(shelf={k})"),
    step(".filter(shelf__rank__gte={n})"),
    step(".exclude(shelf__rank={n})"),
    step(".filter(shelf__name__startswith={s})"),
    step(".filter(tags={t})"),
    step(".filter(tags__in=[{t}, {t}])", "twice"),
    step(".filter(tags__weight__gte={n})", "twice"),
    step(".filter(entries__quantity__gt={n})", "twice"),
    step(".exclude(entries__quantity={n})"),
    step(".exclude(tags={t})"),
    step(".filter(children__score__gte={n})", "twice"),
    step(".filter(parent__isnull=False)"),
    step(".filter(parent__shelf__rank__gte={n})"),
    step(".filter(friends__active=True)", "twice"),
    step(".filter(seat__number__gte={n})"),
    step(".filter(seat__isnull=True)"),
    step(".filter(special__level__gte={n})"),
    step(".filter(Q(score={n}) | Q(name__startswith={s}))"),
    step(".filter(Q(shelf__rank={n}) | Q(parent__score__gt={n}))"),
    step(".filter(~Q(tags={t}), Q(score__lt={n}) | Q(amount__gt={n}))"),
    step(".filter(Exists(Entry.objects.filter(item=OuterRef('pk'), quantity__gt={n})))"),
    step(".filter(~Exists(Tag.objects.filter(items=OuterRef('pk'), weight={n})))"),
    step(".filter(pk__in=Entry.objects.filter(quantity={n}).values('item'))"),
    step(".filter(shelf__in=Shelf.objects.filter(rank__gt={n}))"),
    step(".filter(score__gte=F('score1'))"),
    step(".filter(data__a={n})"),
    step(".filter(day__year=2024)"),
    step(".filter(pk__in=Item.objects.order_by('-score', 'pk').values('pk')[:{n}])", "in_slice"),
    step(".annotate(z=FilteredRelation('entries', condition=Q(entries__quantity={n})))"
         ".filter(z__isnull=False)", "twice"),
    step(".distinct()"),
    step(".select_related('shelf')"),
    step(".select_related('shelf', 'parent__shelf')"),
    step(".select_related('seat')"),
    step(".prefetch_related('tags')"),
    step(".prefetch_related('entries', 'parent')"),
    step(".prefetch_related('shelf__items')"),
    step(".prefetch_related(Prefetch('entries', queryset=Entry.objects.filter(quantity__gt={n})))"),
    step(".prefetch_related(Prefetch('entries', queryset=Entry.objects.order_by('-quantity', 'pk')[:2], to_attr='two'))"),
    step(".prefetch_related(Prefetch('tags', queryset=Tag.objects.exclude(weight={n}).order_by('-label')))"),
    step(".prefetch_related(Prefetch('children', queryset=Item.objects.order_by('-score', 'pk')"
         ".select_related('shelf')))"),
    step(".only('name', 'score', 'shelf', 'parent')"),
    step(".defer('note', 'score1')"),
    step(".extra(where=['differential_item.score > %s'], params=[{n}])", "extra"),
    step(".alias(m=Max('entries__quantity')).filter(m__gte={n})"),
    step(".none()"),
    step(".select_related('shelf').only('name', 'shelf__name')"),
    step(".filter(moment__date=datetime.date(2024, 1, 1))", "zoned"),
    step(".filter(moment__hour__gte=7)", "zoned"),
    step(".alias(w=Window(RowNumber(), partition_by='shelf', order_by=['-score', 'pk'])).filter(w=1)"),
    step(".alias(used=Count('entries')).order_by('-used', 'pk')"),
    step(".filter(shelf__in=Item.objects.filter(active=True).values('shelf')[:{n}])", "in_slice"),
    step(".prefetch_related(Prefetch('shelf__items', queryset=Item.objects.order_by('-score', 'pk'),"
         " to_attr='all'))"),
    step(".select_related('shelf').defer('shelf__rank')"),
    step(".select_related('shelf').select_related(None)"),
    step(".prefetch_related('tags').prefetch_related(None)"),
    step(".extra(select={'twice': 'differential_item.score * 2'})", "extra"),
    step(".filter(special__rare__oddity__gte={n})"),
    step(".__or__(Item.objects.filter(score={n}))"),
    step(".filter(pk__in=RawSQL('SELECT e.item_id FROM differential_entry e WHERE e.quantity > %s', [{n}]))", "extra"),
    step(".annotate(q=FilteredRelation('shelf', condition=Q(shelf__rank__gt={n}))).filter(q__isnull=True)"),
)  # fmt: skip
ITEM_TIMES = (
    step(".filter(moment__gt=Now())", "time"),
    step(".filter(moment__lte=Now() - timedelta(hours={n}))", "time"),
    step(".exclude(moment__gt=Now() + timedelta(hours={n}))", "time"),
    step(".filter(moment__range=(Now() - timedelta(hours={n}), Now() + timedelta(hours={n})))",
         "time"),
    step(".filter(Q(moment__lt=Now()) | Q(score={n}))", "time"),
    step(".filter(parent__moment__gt=Now())", "time"),
    step(".filter(children__moment__lte=Now())", "time", "twice"),
)  # fmt: skip
"""Conditions on the present time, which passes between steps."""
ITEM_SLOTS = (
    step(".filter(shelf={k})"),
    step(".filter(shelf={k})"),
    step(".filter(score={n})"),
    step(".filter(score={n})"),
    step(".filter(shelf={k}, score={n})"),
    step(".filter(shelf__rank={n})"),
    step(".filter(parent__shelf={k})"),
    step(".filter(tags={t})", "twice"),
    step(".filter(tags__weight={n})", "twice"),
    step(".filter(entries__quantity={n})", "twice"),
    step(".filter(children__score={n}).distinct()"),
    step(".filter(shelf__in=Shelf.objects.filter(rank={n}))"),
    step(".filter(pk__in=Entry.objects.filter(quantity={n}).values('item'))"),
    step(".filter(shelf__in=Item.objects.filter(score={n}).values('shelf'))"),
    step(".filter(Q(score={n}) | Q(tags__weight={n}))", "twice"),
    step(".filter(score__in=[{n}, {n}])"),
)
"""Conditions by which many who ask are told from each other."""
ITEM_VALUES = (
    value("total", "Sum('entries__quantity')", "ReadOnlyField()"),
    value("tagged", "Count('tags', distinct=True)", "IntegerField()"),
    value("born", "Count('children', filter=Q(children__score__gt={n}))", "IntegerField()"),
    value("best", "Subquery(Entry.objects.filter(item=OuterRef('pk'))"
          ".order_by('-quantity', 'pk').values('quantity')[:1])", "ReadOnlyField()"),
    value("entered", "Exists(Entry.objects.filter(item=OuterRef('pk'), quantity={n}))",
          "BooleanField()"),
    value("upper", "Upper('name')", "CharField()"),
    value("due", "Case(When(moment__gt=Now(), then=Value('yet')), default=Value('past'))",
          "CharField()", "time"),
    value("ranked", "F('shelf__rank')", "ReadOnlyField()"),
    value("hourly", "TruncHour('moment')", "DateTimeField()", "zoned"),
    value("of_day", "TruncDate('moment')", "ReadOnlyField()", "zoned"),
    value("last", "Max('tags__label')", "ReadOnlyField()"),
    value("worth", "Case(When(score__gt={n}, then=Value('much')), When(shelf__rank={n}, "
          "then=Value('some')), default=Value('none'))", "CharField()"),
    value("named", "Coalesce('shelf__name', Value('-'))", "CharField()"),
    value("place", "Window(Rank(), partition_by='shelf', order_by=['-score', 'pk'])",
          "IntegerField()"),
    value("sum", "Window(Sum('score'), order_by=['score', 'pk'])", "IntegerField()"),
    value("raw", "RawSQL('SELECT COUNT(*) FROM differential_entry AS e "
          "WHERE e.item_id = differential_item.id', ())", "IntegerField()"),
    value("over", "RawSQL('SUM(differential_item.score) OVER ()', ())", "IntegerField()",
          "raw_whole"),
    value("twin", "RawSQL('SELECT COUNT(*) FROM differential_tag AS t, differential_shelf AS s "
          "WHERE t.weight = s.id', ())", "IntegerField()", "raw_whole"),
)  # fmt: skip
ITEM_FIELDS = (
    "name",
    "note",
    "score",
    "score1",
    "id1",
    "amount",
    "real",
    "active",
    "size",
    "day",
    "moment",
    "span",
    "uid",
    "data",
    "wide",
    "shelf",
    "parent",
    "tags",
    "friends",
    "entries",
    "children",
    "title",
    "seat",
)
ITEM_DECLARED = (
    declared("shelf", "ShelfRow()"),
    declared("shelf", "StringRelatedField()"),
    declared("shelf", "SlugRelatedField(slug_field='name', read_only=True)"),
    declared("shelf_rank", "IntegerField(source='shelf.rank', allow_null=True)"),
    declared("shelf_name", "CharField(source='shelf.name', required=False)"),
    declared("parent_title", "ReadOnlyField(source='parent.title', default='none')"),
    declared("grand", "CharField(source='parent.shelf.name', default=None)"),
    declared("tags", "SlugRelatedField(many=True, slug_field='weight', read_only=True)"),
    declared("tags", "StringRelatedField(many=True)"),
    declared("tags", "TagRow(many=True)"),
    declared("entries", "EntryRow(many=True)"),
    declared("entries", "SlugRelatedField(many=True, slug_field='quantity', read_only=True)"),
    declared("children", "ChildRow(many=True)"),
    declared("parent", "ChildRow()"),
    declared("day", "DateField(format='%d.%m.%Y')"),
    declared("moment", "DateTimeField(format=None)"),
    declared("amount", "DecimalField(max_digits=8, decimal_places=2, coerce_to_string=False)"),
    declared("amount", "DecimalField(max_digits=8, decimal_places=1, localize=True)"),
    declared("beside", "PrimaryKeyRelatedField(source='shelf.items', many=True, read_only=True)"),
    declared("grandparent", "ShelfRow(source='parent.shelf')"),
    declared("shelf_items", "IntegerField(source='shelf.items.count', default=None)"),
    declared("half", "HalfRow(source='*')"),
    declared("kin", "KeepingRow(source='children', many=True)"),
    declared("loaded", "SerializerMethodField()\n    def get_loaded(self, row):\n"
             "        prefetch_related_objects([row], 'tags', 'entries')\n"
             "        return [[t.weight for t in row.tags.all()], [e.quantity for e in row.entries.all()]]"),
    declared("deferred", "SerializerMethodField()\n    def get_deferred(self, row): return sorted(row.get_deferred_fields())"),
    declared("twice", "ReadOnlyField(default=None)"),
    declared("sized", "CharField(source='get_size_display')"),
    declared("everything", "CharField(source='*')"),
    declared("note", "CharField(write_only=True)"),
    declared("hidden", "HiddenField(default=1)"),
    declared("points", "SerializerMethodField()\n    def get_points(self, row): return row.score * 2"),
    declared("count", "SerializerMethodField()\n    def get_count(self, row): return row.entries.count()"),
    declared("first", "SerializerMethodField()\n"
             "    def get_first(self, row): return [e.quantity for e in row.entries.all()][:2]"),
    declared("all_tags", "SerializerMethodField()\n"
             "    def get_all_tags(self, row): return Tag.objects.count()"),
    declared("scaled", "SerializerMethodField()\n"
             "    def get_scaled(self, row): return row.score * self.context['scale']"),
    declared("most", "SerializerMethodField()\n    def get_most(self, row):\n"
             "        return [e.quantity for e in getattr(row, 'two', ())]"),
    declared("weekday", "SerializerMethodField()\n"
             "    def get_weekday(self, row): return row.day and date_format(row.day, 'l')"),
    declared("kept", "SerializerMethodField()\n    @cached_property\n"
             "    def tags_now(self): return Tag.objects.count()\n"
             "    def get_kept(self, row): return self.tags_now", "kept"),
    declared("memo", "SerializerMethodField()\n    def get_memo(self, row):\n"
             "        return self.context.setdefault('memo', Tag.objects.count())", "kept"),
    declared("hour", "SerializerMethodField()\n    def get_hour(self, row):\n"
             "        return localtime(row.moment).isoformat() if row.moment else None"),
    declared("german", "SerializerMethodField()\n    def get_german(self, row):\n"
             "        translation.activate('de')\n        timezone.activate('Asia/Tokyo')\n"
             "        return row.score", "surroundings"),
    declared("japanese", "SerializerMethodField()\n    def get_japanese(self, row):\n"
             "        if row.active and row.shelf_id: timezone.activate('Asia/Tokyo')\n"
             "        return row.score", "surroundings"),
    declared("rounded", "SerializerMethodField()\n    def get_rounded(self, row):\n"
             "        getcontext().prec = (row.score or 0) + 1\n"
             "        return str(row.amount and row.amount / 3)", "surroundings"),
    declared("many", "SerializerMethodField()\n    def get_many(self, row):\n"
             "        return self.instance is not None", "list_seen"),
    declared("rooted", "SerializerMethodField()\n    def get_rooted(self, row):\n"
             "        return [type(self.root).__name__, type(self.parent).__name__]", "list_seen"),
)  # fmt: skip

ITEM = Menu(
    model="Item",
    steps=ITEM_STEPS,
    times=ITEM_TIMES,
    slots=ITEM_SLOTS,
    values=ITEM_VALUES,
    filters=("'active': True", "'score__gte': {n}", "'shelf': {k}", "'shelf__rank': {n}"),
    orders=(
        "score",
        "score1",
        "name",
        "amount",
        "day",
        "moment",
        "shelf__rank",
        "@F('id1').asc(nulls_first=True)",
        "@F('shelf__rank').desc(nulls_last=True)",
        "@Upper('name')",
        "@ExtractHour('moment').asc()",
        "@TruncDate('moment').desc()",
        "@Count('entries').desc()",
        "@Case(When(moment__gt=Now(), then=1), default=0)",
        "@Exists(Entry.objects.filter(item=OuterRef('pk'), quantity__gt=1)).desc()",
        "@Subquery(Entry.objects.filter(item=OuterRef('pk')).order_by('pk').values('quantity')[:1])",
        "entries__quantity",
        "tags__weight",
        "shelf",
        "parent__score",
        "active",
        "id1",
        "wide",
        "real",
        "size",
    ),
    fields=ITEM_FIELDS,
    declared=ITEM_DECLARED,
)
SPECIAL = Menu(
    model="Special",
    steps=(
        step(".filter(level__gte={n})"),
        step(".filter(score__gt={n})"),
        step(".filter(shelf__rank__gte={n})"),
        step(".filter(tags={t})"),
        step(".filter(entries__quantity__gt={n})", "twice"),
        step(".select_related('shelf')"),
        step(".prefetch_related('tags')"),
        step(".distinct()"),
    ),
    values=(
        value("total", "Sum('entries__quantity')", "ReadOnlyField()"),
        value("upper", "Upper('extra')", "CharField()"),
    ),
    filters=("'active': True", "'level': {n}"),
    orders=("level", "score", "name", "extra"),
    usual=("-level",),
    fields=("name", "score", "score1", "extra", "level", "shelf", "tags", "amount", "day"),
    declared=(
        declared("shelf", "ShelfRow()"),
        declared("entries", "EntryRow(many=True)"),
        declared("item_ptr", "PrimaryKeyRelatedField(read_only=True)"),
        declared("item_ptr_id", "IntegerField(read_only=True)"),
    ),
    key=frozenset({"pk", "item_ptr", "item_ptr_id"}),
    id=True,
)
ENTRY = Menu(
    model="Entry",
    steps=(
        step(".filter(quantity__gt={n})"),
        step(".filter(item__active=True)"),
        step(".filter(item__shelf__rank__gte={n})"),
        step(".filter(item__tags={t})"),
        step(".exclude(item__parent__score={n})"),
        step(".select_related('item__shelf')"),
        step(".prefetch_related('item__tags')"),
    ),
    slots=(
        step(".filter(item={k})"),
        step(".filter(quantity={n})"),
        step(".filter(item__shelf={k})"),
        step(".filter(item__tags={t})", "twice"),
        step(".filter(item__in=Item.objects.filter(shelf={k}))"),
    ),
    times=(
        step(".filter(item__moment__gt=Now() - timedelta(hours={n}))", "time"),
        step(".exclude(item__moment__gt=Now())", "time"),
    ),
    values=(value("of", "F('item__name')", "CharField()"),),
    filters=("'quantity__lte': {n}", "'item': {k}"),
    orders=("quantity", "item__score", "item__name"),
    usual=("quantity", "id"),
    fields=("item", "quantity"),
    declared=(
        declared("title", "CharField(source='item.title')"),
        declared("item", "ChildRow()"),
        declared("tags", "SlugRelatedField(source='item.tags', many=True, slug_field='label', "
                 "read_only=True)"),
    ),
)  # fmt: skip
SHELF = Menu(
    model="Shelf",
    steps=(
        step(".filter(rank__gt={n})"),
        step(".filter(rank__isnull=True)"),
        step(".filter(items__score__gt={n})", "twice"),
        step(".filter(items__isnull=True)"),
        step(".filter(tickets__count__gt={n})", "twice"),
        step(".prefetch_related('items')"),
        step(".prefetch_related('items__tags')"),
        step(".prefetch_related(Prefetch('items', queryset=Item.objects.filter(active=True)"
             ".order_by('score', 'pk').annotate(n=Count('entries'))))"),
        step(".distinct()"),
    ),
    slots=(
        step(".filter(rank={n})"),
        step(".filter(items__score={n}).distinct()"),
        step(".filter(items__tags={t})", "twice"),
        step(".filter(pk__in=Item.objects.filter(score={n}).values('shelf'))"),
    ),
    times=(step(".filter(items__moment__gt=Now())", "time", "twice"),),
    values=(
        value("count", "Count('items')", "IntegerField()"),
        value("most", "Max('items__score')", "ReadOnlyField()"),
        value("amounts", "Sum('items__amount')", "ReadOnlyField()"),
    ),
    filters=("'rank__gte': {n}",),
    orders=("rank", "name"),
    usual=("name", "id"),
    fields=("name", "rank", "tickets"),
    declared=(
        declared("names", "SerializerMethodField()\n"
                 "    def get_names(self, row): return sorted(i.name for i in row.items.all())"),
        declared("here", "SerializerMethodField()\n"
                 "    def get_here(self, row):\n"
             "        return [d.weight for d in row.drafts.order_by('pk')]"),
    ),
)  # fmt: skip
TAG = Menu(
    model="Tag",
    steps=(
        step(".filter(weight__gte={n})"),
        step(".filter(items__score__gte={n})", "twice"),
        step(".filter(items__shelf={k})", "twice"),
        step(".exclude(label={t})"),
    ),
    values=(value("used", "Count('items')", "IntegerField()"),),
    filters=("'weight': {n}",),
    orders=("weight", "label"),
    usual=("label",),
    fields=("label", "weight", "items"),
    declared=(declared("id", "IntegerField(source='weight')", "other_id"),),
    key=frozenset({"pk", "label"}),
)
SEAT = Menu(
    model="Seat",
    steps=(
        step(".filter(number__gt={n})"),
        step(".filter(item__score__gt={n})"),
        step(".select_related('item')"),
    ),
    filters=("'number__lte': {n}", "'item__active': True"),
    orders=("number", "item__name"),
    fields=("item", "number"),
    declared=(
        declared("item", "ChildRow()", "other_id"),
        declared("item", "StringRelatedField()", "other_id"),
        declared("item_id", "IntegerField()"),
        declared("number", "IntegerField(source='pk')"),
    ),
    key=frozenset({"pk", "item", "item_id"}),
)
TICKET = Menu(
    model="Ticket",
    steps=(
        step(".filter(count__gte={n})"),
        step(".filter(shelf__rank__gte={n})"),
        step(".select_related('shelf')"),
    ),
    values=(value("named", "F('shelf__name')", "CharField()"),),
    filters=("'count__gte': {n}",),
    orders=("count", "shelf__rank"),
    usual=("-count",),
    fields=("uid", "count", "shelf"),
    declared=(
        declared("uid", "UUIDField(format='hex')"),
        declared("uid", "UUIDField(format='int')"),
        declared("shelf", "ShelfRow()"),
        declared("id", "CharField(source='count')", "other_id"),
    ),
    key=frozenset({"pk", "uid"}),
)
DATED = Menu(
    model="Dated",
    steps=(step(".filter(day__month=1)"), step(".filter(text__gte={s})")),
    filters=("'text__startswith': {s}",),
    orders=("text", "day"),
    fields=("day", "text"),
    declared=(
        declared("day", "DateField(format=None)", "other_id"),
        declared("day", "DateField(format='%Y')", "other_id"),
        declared(
            "day", "SerializerMethodField()\n    def get_day(self, row): return 1", "other_id"
        ),
    ),
    key=frozenset({"pk", "day"}),
)  # fmt: skip
WIDE = Menu(
    model="Wide",
    steps=(
        step(".filter(pk1__gt={n})"),
        step(".filter(shelf__rank__gte={n})"),
        step(".exclude(key__startswith={s})"),
    ),
    filters=("'pk1': {n}", "'shelf': {k}"),
    orders=("pk1", "key"),
    fields=("id", "pk1", "key", "shelf"),
    declared=(
        declared("pk", "IntegerField(source='pk1')", "other_id"),
        declared("id", "SerializerMethodField()\n    def get_id(self, row): return row.pk1",
                 "other_id"),
    ),
)  # fmt: skip
DRAFT = Menu(
    model="Draft",
    bases=(
        Piece("Draft.objects.all()"),
        Piece("Draft.every.all()"),
        Piece("Draft.objects.get_queryset().heavy({n})"),
    ),
    steps=(step(".filter(weight__gt={n})"), step(".filter(shelf__rank__gte={n})")),
    filters=("'weight__gte': {n}",),
    orders=("weight", "shelf__name"),
    fields=("weight", "shelf", "deleted"),
    declared=(declared("shelf", "ShelfRow()"),),
)
LABEL = Menu(
    model="Label",
    bases=(
        Piece("Label.objects.all()", frozenset({"own_fetch"})),
        Piece("Label.objects.loudly()", frozenset({"own_fetch"})),
    ),
    steps=(step(".filter(rank__gt={n})"), step(".exclude(text__startswith={s})")),
    filters=("'rank__gte': {n}",),
    orders=("rank", "text"),
    fields=("text", "rank", "voice", "spoken"),
)
READ = Menu(
    model="Read",
    bases=(Piece("Read.objects.all()", frozenset({"own_fetch"})),),
    steps=(step(".filter(rank__gt={n})"),),
    filters=("'rank__gte': {n}",),
    orders=("rank", "text"),
    fields=("text", "rank"),
)
ODD = Menu(
    model="Odd",
    steps=(step(".filter(score__gt={n})"), step(".filter(points__lte={n})")),
    filters=("'score__gte': {n}",),
    orders=("points", "double", "score", "@F('points').asc(nulls_first=True)"),
    fields=("score", "points", "double"),
)
HIDDEN = Menu(
    model="Hidden",
    bases=(Piece("Hidden.every.all()", frozenset({"base_manager"})), Piece("Hidden.objects.all()")),
    steps=(step(".filter(weight__gt={n})"), step(".filter(shelf__rank__gte={n})")),
    filters=("'weight__gte': {n}", "'shelf__rank': {n}"),
    orders=("weight", "shelf__name"),
    fields=("weight", "shelf", "deleted"),
    declared=(declared("shelf_name", "CharField(source='shelf.name', default=None)"),),
)
ORDER_KINDS = {"points": "own_column", "double": "generated_column"}
"""Kinds of what there is to order by."""

MENUS = (
    *(ITEM, ITEM, ITEM, ITEM, SPECIAL, SHELF, SHELF, ENTRY, TAG, SEAT, TICKET),
    *(DATED, WIDE, DRAFT, LABEL, READ, ODD, HIDDEN, *TYPED_MENUS),
)
"""Items have most to choose from, and come more often."""
