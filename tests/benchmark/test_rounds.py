import pytest

from streamseg.benchmark.records import Ratio
from streamseg.benchmark.rounds import compare, take_turns


def test_contestants_take_turns() -> None:
    order: list[str] = []
    told: list[str] = []

    def contestant(name: str, value: int) -> int:
        order.append(name)
        return value * len(order)

    values = take_turns(
        {"a": lambda: contestant("a", 1), "b": lambda: contestant("b", 10)}, 3, told.append
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert values == {"a": (1, 3, 5), "b": (20, 40, 60)}
    assert told[:3] == ["a (1/3)", "b (1/3)", "a (2/3)"]


def test_ratios_are_taken_within_rounds() -> None:
    speeds = {"of": [2.0, 12.0, 6.0], "to": [1.0, 3.0, 2.0]}
    assert compare(speeds, "of", "to") == Ratio(
        of="of", to="to", median=3.0, least=2.0, greatest=4.0
    )


def test_contestants_with_unequal_rounds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="longer"):
        compare({"of": [1.0], "to": [1.0, 2.0]}, "of", "to")
