"""A schema of PostgreSQL's whose functions, operators, types and tables pose as the usual ones."""

from __future__ import annotations

from tests.support.postgresql import PostgreSQLProgram

SCALARS = ("text", "int4", "int8", "uuid", "bool", "numeric", "varchar", "date", "inet", "jsonb")
LISTS = tuple(f"{name}[]" for name in ("text", "int4", "int8", "uuid", "varchar"))
OPERATORS = {"=": "bool", "<>": "bool", "<": "bool", "<=": "bool", ">": "bool", ">=": "bool"}
FUNCTIONS = {
    "cardinality": LISTS,
    "array_length": tuple(f"{name}, int4" for name in LISTS),
    "array_append": tuple(f"{name}, {name[:-2]}" for name in LISTS),
    "array_cat": tuple(f"{name}, {name}" for name in LISTS),
    "to_jsonb": SCALARS,
    "host": ("inet",),
    "pg_current_xact_id": ("",),
    "clock_timestamp": ("",),
}


def set_trap(program: PostgreSQLProgram) -> None:
    """Make the schema "trap": whoever calls what is there gets an error that says SPRUNG."""
    program.run("CREATE SCHEMA trap")
    program.run("GRANT USAGE ON SCHEMA trap TO PUBLIC")
    number = 0
    for left in (*SCALARS, *LISTS):
        signatures = {**OPERATORS, "||": left}
        if left == "jsonb":
            signatures["#>>"] = "text"
        for operator, result in signatures.items():
            number += 1
            right = "text[]" if operator == "#>>" else left
            arguments = f"pg_catalog.{left}, pg_catalog.{right}"
            program.run(_sprung(f"f{number}({arguments})", result))
            program.run(
                f"CREATE OPERATOR trap.{operator} (LEFTARG = pg_catalog.{left}, "
                f"RIGHTARG = pg_catalog.{right}, FUNCTION = trap.f{number})"
            )
    for name, signatures_of in FUNCTIONS.items():
        for signature in signatures_of:
            program.run(_sprung(f"{name}({signature})", "int4"))
    for name in SCALARS:
        program.run(f"CREATE DOMAIN trap.{name} AS pg_catalog.{name} CHECK (1 < 0)")
    for name in ("bindserver_log", "bindserver_new", "bindserver_old", "app_word"):
        program.run(f"CREATE TABLE trap.{name} (id int, text varchar, count int)")


def _sprung(function: str, result: str) -> str:
    return (
        f"CREATE FUNCTION trap.{function} RETURNS pg_catalog.{result} LANGUAGE plpgsql "
        "AS 'BEGIN RAISE EXCEPTION ''SPRUNG''; END'"
    )
