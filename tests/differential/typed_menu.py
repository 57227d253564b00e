"""What queries and serializers over the models in `typed.py` are put together from."""

from __future__ import annotations

from tests.differential.pieces import Menu, Piece, declared, step, value

TYPED = Menu(
    model="Typed",
    steps=(
        step(".filter(price__gt={n})"),
        step(".filter(small__isnull=False)"),
        step(".exclude(text__contains={s})"),
        step(".filter(data__a=None)"),
        step(".filter(took__gt=datetime.timedelta(hours={n}))"),
        step(".extra(select={'twice': 'differential_typed.small * 2'})", "extra"),
        step(".defer('raw').defer(None)"),
        step(".only('price').only('text', 'small')"),
        step(".alias(l=Length('text')).filter(l__gte={n})"),
    ),
    values=(
        value("sign", "Case(When(small__isnull=True, then=Value(-1)), When(price__gt={n}, "
              "then=F('small')), default=Value(0))", "IntegerField()"),
        value("money", "ExpressionWrapper(F('price') * 2, output_field=DecimalField(max_digits=8, "
              "decimal_places=2))", "ReadOnlyField()"),
        value("hour", "ExtractHour('at')", "ReadOnlyField()"),
        value("date", "TruncDate('seen')", "ReadOnlyField()"),
        value("least", "Least('small', Value({n}))", "ReadOnlyField()"),
    ),
    filters=("'price__lte': {n}", "'small': {n}", "'small__isnull': True"),
    orders=("price", "at", "took", "raw", "uid", "address", "small", "seen", "text", "doubled",
            "@F('small').asc(nulls_first=True)", "@F('seen').desc(nulls_last=True)",
            "@Lower('text')", "@F('took').desc(nulls_first=True)", "@Length('text').desc()",
            "@Case(When(small__gt=1, then=Value(0)), default=Value(1))", "data__a"),
    usual=("@F('small').desc(nulls_last=True)", "@Lower('text')"),
    fields=("price", "at", "took", "uid", "data", "address", "small", "seen", "text", "doubled"),
    declared=(
        declared("price", "FloatField()"),
        declared("price", "DecimalField(max_digits=8, decimal_places=3, normalize_output=True)"),
        declared("seen", "DateTimeField(format='%H:%M', default_timezone=datetime.UTC)"),
        declared("at", "TimeField(format='%H')"),
        declared("size", "SerializerMethodField()\n"
                 "    def get_size(self, row): return row.raw and len(row.raw)"),
        declared("data", "DictField(allow_null=True)"),
        declared("twice", "ReadOnlyField(default=None)"),
    ),
)  # fmt: skip
RARE = Menu(
    model="Rare",
    steps=(
        step(".filter(oddity__gte={n})"),
        step(".filter(level__gte={n})"),
        step(".filter(score__gt={n})"),
        step(".filter(shelf__rank__gte={n})"),
        step(".filter(entries__quantity__gt={n})", "twice"),
        step(".select_related('shelf')"),
        step(".select_related('special_ptr')"),
        step(".prefetch_related('tags', 'entries')"),
        step(".only('oddity', 'score')"),
    ),
    values=(value("total", "Sum('entries__quantity')", "ReadOnlyField()"),),
    filters=("'active': True", "'level': {n}", "'oddity': {n}"),
    orders=("level", "score", "name", "oddity", "special_ptr__level"),
    fields=("name", "score", "extra", "level", "oddity", "shelf", "tags"),
    declared=(
        declared("shelf", "ShelfRow()"),
        declared("special_ptr", "PrimaryKeyRelatedField(read_only=True)"),
        declared("item_ptr", "PrimaryKeyRelatedField(read_only=True)"),
        declared("entries", "EntryRow(many=True)"),
        declared("id1", "IntegerField(source='id')"),
    ),
    key=frozenset({"pk", "special_ptr", "special_ptr_id"}),
    id=True,
)
CASED = Menu(
    model="Cased",
    steps=(
        step(".filter(rank__gt={n})"),
        step(".filter(pk__in=[{c}, {c}])"),
        step(".exclude(key__startswith={s})"),
        step(".filter(leaves__rank__gte={n})", "twice"),
        step(".prefetch_related('leaves')"),
    ),
    values=(value("used", "Count('leaves')", "IntegerField()"),),
    filters=("'rank': {n}", "'key': {c}"),
    orders=("rank", "key"),
    usual=("key",),
    fields=("key", "rank", "leaves"),
    key=frozenset({"pk", "key"}),
)
LEAF = Menu(
    model="Leaf",
    steps=(
        step(".filter(rank__gt={n})"),
        step(".filter(cased={c})"),
        step(".filter(cased__in=[{c}, {c}])"),
        step(".filter(cased__rank__gte={n})"),
        step(".select_related('cased')"),
        step(".prefetch_related('cased')"),
        step(".select_related('cased').select_related(None)"),
    ),
    values=(value("of", "F('cased__rank')", "ReadOnlyField()"),),
    filters=("'cased': {c}", "'cased__key': {c}", "'rank__gte': {n}"),
    orders=("rank", "cased", "cased__rank", "cased_id"),
    usual=("cased", "id"),
    fields=("cased", "rank"),
    declared=(
        declared("cased", "StringRelatedField()"),
        declared("cased", "SlugRelatedField(slug_field='rank', read_only=True)"),
        declared("of_key", "CharField(source='cased.key', default=None)"),
    ),
)
HOLDER = Menu(
    model="Holder",
    steps=(
        step(".filter(rank__gt={n})"),
        step(".filter(held__rank__gt={n})", "twice"),
        step(".prefetch_related('held__shelf')"),
    ),
    values=(value("used", "Count('held')", "IntegerField()"),),
    filters=("'rank__gte': {n}",),
    orders=("rank", "code"),
    usual=("-rank",),
    fields=("code", "rank", "held"),
    declared=(
        declared("ranks", "SlugRelatedField(source='held', many=True, slug_field='rank', "
                 "read_only=True)"),
        declared("count", "IntegerField(source='held.count')"),
    ),
)  # fmt: skip
HELD = Menu(
    model="Held",
    steps=(
        step(".filter(rank__gt={n})"),
        step(".filter(holder={h})"),
        step(".filter(holder__rank__gte={n})"),
        step(".exclude(holder__rank={n})"),
        step(".filter(shelf__items__score__gt={n})", "twice"),
        step(".select_related('holder', 'shelf')"),
        step(".prefetch_related('holder')"),
        step(".prefetch_related('shelf__items').prefetch_related(None)"),
        step(".annotate(f=FilteredRelation('holder', condition=Q(holder__rank__gt={n})))"
             ".filter(f__isnull=True)"),
        step(".annotate(f=FilteredRelation('shelf__items', condition=Q(shelf__items__score={n})))"
             ".annotate(m=Max('f__score1'))"),
    ),
    values=(value("of", "F('holder__rank')", "ReadOnlyField()"),),
    filters=("'holder': {h}", "'holder__rank': {n}", "'rank__gte': {n}"),
    orders=("rank", "holder", "holder__code", "holder_id", "shelf", "shelf__rank",
            "@F('holder__rank').asc(nulls_last=True)"),
    usual=("holder", "-rank"),
    fields=("holder", "rank", "shelf"),
    declared=(
        declared("holder", "SlugRelatedField(slug_field='code', read_only=True)"),
        declared("holder_id", "CharField()"),
        declared("of_rank", "IntegerField(source='holder.rank', default=None)"),
        declared("beside", "SlugRelatedField(source='shelf.items', many=True, slug_field='name', "
                 "read_only=True)"),
        declared("beside", "PrimaryKeyRelatedField(source='shelf.held', many=True, "
                 "read_only=True)"),
        declared("half", "HalfRow(source='*')"),
        declared("tags", "SerializerMethodField()\n    def get_tags(self, row):\n"
                 "        if row.shelf: prefetch_related_objects([row.shelf], 'items__tags')\n"
                 "        return row.shelf and [t.weight for i in row.shelf.items.all() "
                 "for t in i.tags.all()]"),
    ),
)  # fmt: skip
PRICED = Menu(
    model="Priced",
    steps=(step(".filter(rank__gt={n})"), step(".filter(pk__lte={n})"),
           step(".filter(due__rank__gt={n})", "twice"), step(".prefetch_related('due')")),
    values=(value("used", "Count('due')", "IntegerField()"),),
    filters=("'rank__gte': {n}", "'price': {n}"),
    orders=("rank", "price"),
    fields=("price", "rank", "due"),
    declared=(
        declared("price", "FloatField()", "other_id"),
        declared("price", "DecimalField(max_digits=6, decimal_places=1)", "other_id"),
        declared("key", "ReadOnlyField(source='pk')"),
    ),
    key=frozenset({"pk", "price"}),
)  # fmt: skip
DUE = Menu(
    model="Due",
    steps=(step(".filter(rank__gt={n})"), step(".filter(priced={n})"),
           step(".filter(priced__rank__gt={n})"), step(".select_related('priced')"),
           step(".prefetch_related('priced')")),
    filters=("'rank__gte': {n}", "'priced': {n}"),
    orders=("rank", "priced", "priced__rank"),
    fields=("priced", "rank"),
    declared=(declared("of_rank", "IntegerField(source='priced.rank', default=None)"),),
)  # fmt: skip


def _keyed(model: str, key: str, *fields: Piece) -> Menu:
    return Menu(
        model=model,
        steps=(step(".filter(rank__gt={n})"), step(f".exclude({key}__isnull=True)")),
        filters=("'rank__gte': {n}",),
        orders=("rank", key),
        fields=(key, "rank"),
        declared=(*fields, declared("key", "ReadOnlyField(source='pk')")),
        key=frozenset({"pk", key}),
    )


TYPED_MENUS = (
    *(TYPED, TYPED, RARE, RARE, CASED, LEAF, HOLDER, HELD, HELD, PRICED, DUE),
    _keyed("Timed", "at", declared("at", "TimeField(format='%H:%M')", "other_id")),
    _keyed("Spanned", "took"),
    _keyed("Stamped", "seen", declared("seen", "DateTimeField(format='%Y')", "other_id")),
)
