"""What is written: source text, made from statements of every kind."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

STATEMENTS = (
    "Item.objects.create(name={s}, score={n}, score1={n}, shelf_id={k}, day={d}, amount={a})",
    "Item.objects.create(pk={i}, name={s}, parent_id={i}, id1={n}, data={{'a': {n}}})",
    "Item.objects.filter(pk={i}).update(score={n})",
    "Item.objects.filter(pk={i}).update(score={n}, name={s}, active={b})",
    "Item.objects.filter(pk={i}).update(shelf_id={k})",
    "Item.objects.filter(pk={i}).update(shelf_id=None, amount={a}, real={n}.5)",
    "Item.objects.filter(pk={i}).update(parent_id={i})",
    "Item.objects.filter(pk={i}).update(day={d}, moment={m}, wide=2**60 + {n}, size='l')",
    "Item.objects.filter(pk={i}).update(data={{'a': {n}}}, uid=uuid.UUID(int={n}))",
    "Item.objects.filter(score={n}).update(score=F('score') + 1, score1={n})",
    "Item.objects.filter(pk={i}).delete()",
    "Item.objects.filter(score={n}, pk__gt=6).delete()",
    "Item.objects.bulk_create([Item(name={s}, score={n}), Item(name={s}, shelf_id={k})])",
    "Item.objects.bulk_update([Item(pk={i}, score={n}, name={s}), Item(pk={i}, score={n},"
    " name={s})], ['score', 'name'])",
    "row = Item.objects.get(pk={i}); row.note = {s}; row.score1 = {n}; row.save()",
    "Item.objects.get(pk={i}).tags.set([{t}, {t}])",
    "Item.objects.get(pk={i}).tags.add({t})",
    "Item.objects.get(pk={i}).tags.remove({t})",
    "Item.objects.get(pk={i}).tags.clear()",
    "Item.objects.get(pk={i}).friends.set([{i}, {i}])",
    "Item.objects.filter(pk={i}).update(moment=Now() + timedelta(hours={n}, minutes=30))",
    "Item.objects.filter(pk={i}).update(moment=Now() - timedelta(hours={n}, minutes=30))",
    "Item.objects.filter(score={n}).update(moment=Now() + timedelta(minutes=30))",
    "Entry.objects.create(item_id={i}, quantity={n})",
    "Entry.objects.filter(item={i}).update(quantity={n})",
    "Entry.objects.filter(quantity={n}).update(item_id={i})",
    "Entry.objects.filter(item={i}).delete()",
    "sql('UPDATE differential_entry SET quantity = quantity + 1 WHERE item_id = {i}')",
    "sql('UPDATE differential_item SET score = {n}, name = {s2} WHERE id = {i}')",
    "sql('UPDATE differential_item SET id = id + 100 WHERE id = {i}')",
    "sql('DELETE FROM differential_item_tags WHERE item_id = {i}')",
    "sql('INSERT INTO differential_entry (item_id, quantity) VALUES ({i}, {n})')",
    "Shelf.objects.filter(pk={k}).update(rank={n})",
    "Shelf.objects.filter(pk={k}).update(rank=None, name={s})",
    "Shelf.objects.get(pk={k}).delete()",
    "Shelf.objects.get_or_create(pk={k}, defaults={{'name': {s}, 'rank': {n}}})",
    "Tag.objects.filter(pk={t}).update(weight={n})",
    "Tag.objects.filter(pk={t}).delete()",
    "Tag.objects.get_or_create(pk={t}, defaults={{'weight': {n}}})",
    "Special.objects.create(name={s}, extra={s}, level={n}, score={n}, shelf_id={k})",
    "Special.objects.filter(level={n}).update(score={n}, extra={s})",
    "Special.objects.filter(level__gte={n}).update(level={n})",
    "Special.objects.filter(pk={i}).delete()",
    "Seat.objects.update_or_create(item_id={i}, defaults={{'number': {n}}})",
    "Seat.objects.filter(item={i}).delete()",
    "Ticket.objects.update_or_create(uid=uuid.UUID(int={n}), defaults={{'count': {n},"
    " 'shelf_id': {k}}})",
    "Ticket.objects.filter(count={n}).delete()",
    "Dated.objects.update_or_create(day={d}, defaults={{'text': {s}}})",
    "Dated.objects.filter(day={d}).delete()",
    "Dated.objects.filter(day={d}).update(day={d})",
    "Wide.objects.update_or_create(id=2**60 + {n}, defaults={{'pk1': {n}, 'key': {s}}})",
    "Wide.objects.filter(pk1={n}).update(shelf_id={k}, pk1={n})",
    "Wide.objects.filter(pk1={n}).delete()",
    "Draft.every.create(weight={n}, shelf_id={k}, deleted={b})",
    "Draft.every.filter(weight={n}).update(deleted={b})",
    "Draft.every.filter(deleted=True, weight={n}).delete()",
    "Odd.objects.create(score={n}, points={n})",
    "Odd.objects.filter(score={n}).update(score={n}, points={n})",
    "Odd.objects.filter(score={n}).delete()",
    "Hidden.every.create(weight={n}, shelf_id={k}, deleted={b})",
    "Hidden.every.filter(weight={n}).update(deleted={b}, shelf_id={k})",
    "Label.objects.create(text={s}, rank={n})",
    "Label.objects.filter(rank={n}).update(text={s}, rank={n})",
    "Label.objects.filter(rank={n}).delete()",
    "Read.objects.create(text={s}, rank={n})",
    "Read.objects.filter(rank={n}).update(text={s}, rank={n})",
    "Typed.objects.create(price={p}, small={o}, text={s}, at={l}, seen={m}, data={{'a': {o}}})",
    "Typed.objects.filter(small={n}).update(small={o}, took={w}, raw=b'a', address='10.0.0.{n}')",
    "Typed.objects.filter(price__lt={n}).update(price={p}, uid=uuid.UUID(int={n}), text={s})",
    "Typed.objects.filter(small={n}).delete()",
    "Rare.objects.create(name={s}, oddity={n}, level={n}, score={n}, shelf_id={k})",
    "Rare.objects.filter(oddity={n}).update(level={n}, score={n}, oddity={n})",
    "Item.objects.filter(pk__gt=8).update(score={n}, name={s}, shelf_id={k})",
    "Special.objects.filter(pk=9).update(level={n})",
    "Entry.objects.create(item_id=9, quantity={n})",
    "Cased.objects.create(key={c}, rank={n})",
    "Cased.objects.filter(key={c}).update(rank={n})",
    "Cased.objects.filter(key={c}).update(key={c})",
    "Cased.objects.filter(key={c}).delete()",
    "Leaf.objects.create(cased_id={c}, rank={n})",
    "Leaf.objects.filter(rank={n}).update(cased_id={c})",
    "Leaf.objects.filter(rank={n}).delete()",
    "Holder.objects.create(code={h}, rank={o})",
    "Holder.objects.filter(code={h}).update(rank={o})",
    "Holder.objects.filter(held=None).update(code=Concat('code', Value('1')))",
    "Holder.objects.filter(code={h}).delete()",
    "Held.objects.create(holder_id={h}, rank={n}, shelf_id={k})",
    "Held.objects.filter(rank={n}).update(holder_id={h}, rank={n})",
    "Priced.objects.create(price={p}, rank={n})",
    "Priced.objects.filter(rank={n}, due=None).update(price=F('price') + Decimal('0.25'))",
    "Priced.objects.filter(price={p}).update(rank={n})",
    "Due.objects.filter(rank={n}).update(priced_id={p}, rank={n})",
    "Due.objects.create(priced_id={p}, rank={n})",
    "Timed.objects.update_or_create(at={l}, defaults={{'rank': {n}}})",
    "Timed.objects.filter(rank={n}).update(at={l})",
    "Spanned.objects.update_or_create(took={w}, defaults={{'rank': {n}}})",
    "Spanned.objects.filter(rank={n}).update(took=F('took') + datetime.timedelta(seconds={n}))",
    "Stamped.objects.filter(rank={n}).update(seen=F('seen') + datetime.timedelta(microseconds=1))",
    "Stamped.objects.filter(rank={n}).update(rank={n})",
    "Stamped.objects.filter(rank={n}).delete()",
)
GAPS = {
    "{n}": ("1", "0", "2", "3", "4"),
    "{k}": ("1", "2", "3"),
    "{i}": ("1", "2", "3", "4", "5", "6", "7", "8"),
    "{t}": ("'a'", "'b'", "'c'"),
    "{s}": ("'a'", "'B'", "'c'", "'bé'", "''"),
    "{s2}": ('"a"', '"B"'),
    "{c}": ("'a'", "'A'", "'b'", "'a '", "'C'"),
    "{h}": ("'x'", "'y'", "'X'", "'z'"),
    "{o}": ("None", "0", "1", "3"),
    "{p}": ("Decimal('1')", "Decimal('2.50')", "Decimal('0')", "Decimal('-3.25')"),
    "{l}": ("datetime.time(1)", "datetime.time(0, 0, 0, 1)", "datetime.time(23, 59)"),
    "{w}": ("datetime.timedelta(hours=1)", "datetime.timedelta(days=-1)", "None"),
    "{b}": ("True", "False"),
    "{a}": ("Decimal('1.50')", "Decimal('3')", "None"),
    "{d}": ("datetime.date(2024, 1, 1)", "datetime.date(2024, 2, 29)", "datetime.date(2025, 1, 5)"),
    "{m}": ("datetime.datetime(2024, 1, 1, 23, 30, tzinfo=datetime.UTC)", "None"),
}

HOURS = (0, 0, 0, 1, 2)
"""How many hours may pass; moments that are written are half hours away from each."""
KEPT = 0.9
"""How many steps are committed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is committed, or rolled back, at once.

    Attributes:
        statements: the statements.
        kept: whether they are committed.
        hours: how many pass before.
    """

    statements: tuple[str, ...]
    kept: bool
    hours: int = 0

    @property
    def source(self) -> str:
        """As a person reads it."""
        passed = f"{self.hours} hours pass; " if self.hours else ""
        return passed + "; ".join(self.statements) + ("" if self.kept else "  # rolled back")


def step(random: Random) -> Step:
    """Return a step."""
    texts = [_filled(random, random.choice(STATEMENTS)) for _ in range(random.randint(1, 5))]
    return Step(tuple(texts), random.random() < KEPT, random.choice(HOURS))


def _filled(random: Random, text: str) -> str:
    for gap, values in GAPS.items():
        while gap in text:
            text = text.replace(gap, random.choice(values), 1)
    return text.replace("{{", "{").replace("}}", "}")
