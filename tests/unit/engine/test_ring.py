"""The ring of recent deltas, and several deltas as one."""

from __future__ import annotations

from bindserver.engine.ring import PUT_OVERHEAD, Delta, Put, Ring, net_of


def put(key: int, *, created: bool = False, placed: bool = False, text: str = "{}") -> Put:
    return Put(key=key, text=text, created=created, placed=placed, after=None)


def delta(version: int, *puts: Put, deletes: tuple[int, ...] = ()) -> Delta:
    return Delta(version=version, deletes=deletes, puts=puts)


def test_the_ring_lets_go_of_the_oldest() -> None:
    ring = Ring(2 * (PUT_OVERHEAD + 2))
    deltas = [delta(version, put(1)) for version in (1, 2, 3)]
    for each in deltas:
        ring.add(each)
    assert ring.since(1, 3) == deltas[1:]
    assert ring.since(3, 3) == []
    assert ring.since(0, 3) is None


def test_a_version_still_to_come_is_not_in_the_ring() -> None:
    assert Ring(1000).since(5, 4) is None


def test_a_delta_larger_than_the_ring_empties_it() -> None:
    ring = Ring(400)
    ring.add(delta(1, put(1)))
    ring.add(delta(2, put(1, text="x" * 500)))
    assert ring.since(1, 2) is None
    ring.add(delta(3, put(1)))
    assert ring.since(2, 3) == [delta(3, put(1))]


def test_deletes_take_room_too() -> None:
    assert delta(1, deletes=(1, 2)).size() == 2 * PUT_OVERHEAD


def test_an_empty_delta_is_false() -> None:
    assert not delta(1)
    assert delta(1, put(1))
    assert delta(1, deletes=(1,))


def test_the_net_of_a_row_is_what_it_was_first_and_is_last() -> None:
    net = net_of(
        [
            delta(
                1, put(1, created=True, placed=True), put(2), put(3, placed=True), deletes=(4, 5)
            ),
            delta(2, put(4, created=True, placed=True), put(3), deletes=(1, 2)),
        ]
    )
    assert set(net.deletes) == {2, 5}
    assert net.touched == {3, 4}
    assert net.created == frozenset()
    assert net.placed == {3, 4}


def test_the_net_of_a_new_row_is_a_create() -> None:
    net = net_of([delta(1, put(1, created=True, placed=True)), delta(2, put(1))])
    assert net.created == net.placed == {1}
