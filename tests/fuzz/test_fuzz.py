"""A small fuzz of each entry; `python -m tests.fuzz` is the bigger one."""

from __future__ import annotations

from itertools import pairwise

from tests.conftest import MakeServer, program_on
from tests.fuzz.attack import FUZZED, Attack

ROUNDS = 4


async def test_odd_input_is_refused_by_the_contract_and_harms_nobody(
    make_server: MakeServer,
) -> None:
    server = make_server(**FUZZED).start()
    program = program_on(server)
    program.add_products(20)
    attack, sizes = Attack(server, program, seed=12), []
    for _ in range(ROUNDS):
        await attack.round(frames=150, requests=30)
        sizes.append(attack.memory())
    program.close()
    assert {"malformed", "unknown_event", "invalid_params", "unauthenticated"} <= set(
        attack.answers
    )
    assert {"200", "400", "404", "raw"} <= set(attack.answers)
    grown = [after - before for before, after in pairwise(sizes[1:])]
    assert min(grown) < 4 * 1024, sizes
