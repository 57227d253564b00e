"""pgbench's own tables, of which Django knows no more than their columns."""

from __future__ import annotations

from django.db import models


class Branch(models.Model):
    bid = models.IntegerField(primary_key=True)
    bbalance = models.IntegerField()

    class Meta:
        managed = False
        db_table = "pgbench_branches"


class Teller(models.Model):
    tid = models.IntegerField(primary_key=True)
    bid = models.IntegerField()
    tbalance = models.IntegerField()

    class Meta:
        managed = False
        db_table = "pgbench_tellers"


class Account(models.Model):
    aid = models.IntegerField(primary_key=True)
    bid = models.IntegerField()
    abalance = models.IntegerField()

    class Meta:
        managed = False
        db_table = "pgbench_accounts"


class Entry(models.Model):
    """A line of the history, which the test has given a key: pgbench gives it none."""

    id = models.BigIntegerField(primary_key=True)
    tid = models.IntegerField()
    bid = models.IntegerField()
    aid = models.IntegerField()
    delta = models.IntegerField()

    class Meta:
        managed = False
        db_table = "pgbench_history"
