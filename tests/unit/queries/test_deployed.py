"""A deploy that changes what a serializer's code does makes another row format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from rest_framework import serializers

from bindserver.queries.serializer_code import code_of
from bindserver.queries.serializer_formats import describe

KINDS = {
    "a method": "def get_name(self, row): return 'A'",
    "a property": """
        @property
        def word(self): return 'A'
    """,
    "a cached property": """
        @functools.cached_property
        def word(self): return 'A'
    """,
    "Django's cached property": """
        @cached_property
        def word(self): return 'A'
    """,
    "a static method": """
        @staticmethod
        def word(): return 'A'
    """,
    "a class method": """
        @classmethod
        def word(cls): return 'A'
    """,
    "what a decorator wraps": """
        @wrapping
        def get_name(self, row): return 'A'
    """,
    "what a decorator hides": """
        @hiding
        def get_name(self, row): return 'A'
    """,
    "what a decorator is given": """
        @saying('A')
        def get_name(self, row): return ''
    """,
    "a decorator that is an object": """
        @Calling
        def get_name(self, row): return 'A'
    """,
    "what is cached": """
        @functools.lru_cache
        def get_name(self, row): return 'A'
    """,
    "a property of what is cached": """
        @property
        @functools.lru_cache
        def word(self): return 'A'
    """,
    "a partial": "word = functools.partial(print, 'A')",
    "a partial's keywords": "word = functools.partial(print, end='A')",
    "a partial's function": "word = functools.partial(lambda: 'A')",
    "a partial method": """
        def say(self, word): return word
        get_name = functools.partialmethod(say, 'A')
    """,
    "a default": "def get_name(self, row, word='A'): return word",
    "a default by name": "def get_name(self, row, *, word='A'): return word",
    "a default's function": "def get_name(self, row, word=lambda: 'A'): return word()",
    "a default in a list": "def get_name(self, row, words=['A', object]): return words[0]",
    "a default's object": "def get_name(self, row, word=Word('A')): return word.text",
    "what is closed over": "get_name = closing('A')",
    "a function in it": """
        def get_name(self, row):
            def word(text='A'): return text
            return word()
    """,
    "a function of its module": "def get_name(self, row): return helper_a()",
    "a value of its module": "def get_name(self, row): return value_a",
    "a member": "WORD = 'A'",
    "a member with others inside": "WORDS = {'a': ['A', Word('a')]}",
    "a member's code": "WORDS = {'a': lambda row: 'A'}",
    "a member of Meta": """
        class Meta:
            words = ['A']
    """,
    "a choice": "WORD = Choice.A",
}

MODULE = """
import enum, functools
from django.utils.functional import cached_property
from rest_framework import serializers

class Choice(enum.Enum):
    A = 1
    B = 2

class Word:
    def __init__(self, text): self.text = text

class Calling:
    def __init__(self, function): self.function = function; self.func = function
    def __call__(self, *args): return self.function(*args)

def wrapping(function):
    @functools.wraps(function)
    def call(*args): return function(*args)
    return call

def hiding(function):
    def call(*args): return function(*args)
    return call

def saying(word):
    return lambda function: functools.wraps(function)(lambda *args: word)

def closing(word):
    return lambda self, row: word

def below(): return {a!r}
def helper_a(): return below()
value_a = {a!r}

class Shown(serializers.Serializer):
    name = serializers.SerializerMethodField()
"""


def deployed(kind: str, word: str) -> Any:
    """Return the serializer of a project, as it is after a deploy."""
    module = ModuleType("shop_serializers")
    sys.modules[module.__name__] = module
    body = dedent(KINDS[kind]).replace("'A'", repr(word)).replace("Choice.A", f"Choice.{word}")
    text = MODULE.replace("{a!r}", repr(word)) + "".join(
        f"    {line}\n" for line in body.splitlines()
    )
    exec(compile(text, "shop.py", "exec"), vars(module))
    return module.__dict__["Shown"]


def told(serializer: Any) -> str:
    return json.dumps(describe(serializer()))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_deploy_changes_is_told(kind: str) -> None:
    before = told(deployed(kind, "A"))
    assert told(deployed(kind, "A")) == before
    assert told(deployed(kind, "B")) != before


def test_what_is_kept_meanwhile_is_no_deploy() -> None:
    shown: Any = deployed("a member with others inside", "A")
    before = told(shown)
    shown.WORDS["b"] = "kept"
    assert told(shown) == before


@pytest.mark.slow
def test_every_process_tells_the_same() -> None:
    code = "import tests.unit.queries.test_deployed as t; print(t.all_told())"
    found = set()
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "tests.settings"}
        setup = "import django; django.setup(); "
        found.add(subprocess.check_output([sys.executable, "-c", setup + code], env=env, text=True))
    assert len(found) == 1


def all_told() -> str:
    """Return what is told of each kind."""
    return json.dumps([code_of(deployed(kind, "A")) for kind in KINDS])


def test_what_refers_to_itself_comes_to_an_end() -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    class Shown(serializers.Serializer[Any]):
        circle = Circle()
        name = serializers.SerializerMethodField()

        def get_name(self, row: Any, deep: int = 3) -> Any:
            return deep and self.get_name(row, deep - 1)

    assert told(Shown)
