"""The comparison with DRF: generated bindings, followed through random writes.

An *example* is one generated binding, different from all others: a queryset over the models in
`models.py`, a serializer, and what the binding adds (fields, filters, an order, a limit). Twenty
of them are followed on one database, by the turns that a server's cycle takes and its change log,
while five steps are committed or rolled back: by the ORM, in bulk, in raw SQL, through many-to-many
relations, cascades, changed keys. After each, and before the first, what a subscriber holds is
compared with what plain DRF answers, asked anew: `serializer(queryset, many=True).data`, as JSON,
in order. A row that a join brings twice is held once; a key that the serializer leaves out is
added; integers that JavaScript cannot count are texts. Nothing else may differ, and nothing may
be stale. A binding is refused where it must be, and where DRF says something else of a row after
another one: what that one leaves set, a language perhaps, shows in it.

    python -m tests.differential --database sqlite --examples 500 --seed 1

A failure prints the binding's source, the steps, as few as it takes, and `--seed` and `--batch`,
which run it again. What is generated stands in `menu.py`, `typed_menu.py`, `declaring.py` and
`writing.py`; what is known to differ, and so is left out unless `--known` is given, in `known.py`.
`--faults all` plants each of `faults.py`, and must find it.
"""
