import threading

import pytest

from streamseg.stream.link import End, Link, NotYet, Stopped


def full_link(policy: str = "block") -> Link[int]:
    link: Link[int] = Link(2, policy)
    link.put(1)
    link.put(2)
    return link


def test_items_come_out_in_order_and_then_the_end_for_ever() -> None:
    link = full_link()
    link.end()
    assert [link.get() for _ in range(4)] == [1, 2, End.END, End.END]


def test_drop_oldest_keeps_the_newest_and_counts() -> None:
    link = full_link("drop_oldest")
    for item in (3, 4, 5):
        link.put(item)
    assert (link.get(), link.get()) == (4, 5)
    assert link.dropped == 3


def test_block_waits_for_room_and_drops_nothing() -> None:
    link = full_link()
    put = threading.Event()

    def produce() -> None:
        link.put(3)
        put.set()

    thread = threading.Thread(target=produce)
    thread.start()
    assert not put.wait(0.05)
    assert link.get() == 1
    assert put.wait(5)
    thread.join()
    assert (link.get(), link.get()) == (2, 3)
    assert link.dropped == 0


def test_get_gives_up_when_nothing_comes() -> None:
    link: Link[int] = Link(1, "block")
    with pytest.raises(NotYet):
        link.get(0.0)


@pytest.mark.parametrize("side", ["put", "get"])
def test_abort_wakes_a_waiting_side(side: str) -> None:
    link: Link[int] = full_link() if side == "put" else Link(1, "block")
    stopped = threading.Event()

    def wait() -> None:
        try:
            link.put(3) if side == "put" else link.get()
        except Stopped:
            stopped.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not stopped.wait(0.02)
    link.abort()
    assert stopped.wait(5)
    thread.join()


def test_abort_throws_away_what_is_held() -> None:
    link = full_link()
    link.abort()
    with pytest.raises(Stopped):
        link.get()
    with pytest.raises(Stopped):
        link.put(1)


def test_a_link_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity of at least 1, got 0"):
        Link(0, "block")
