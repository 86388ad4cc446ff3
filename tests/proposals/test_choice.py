"""What users may say of proposals, and what is refused."""

from pathlib import Path

import pytest

from streamseg.proposals.choice import Proposals


def test_the_default_is_the_papers_fifty_put_together_as_in_the_released_code() -> None:
    choice = Proposals.parse()
    assert (choice.source, choice.count, choice.aggregate) == ("auto", 50, "max")
    assert choice == Proposals()


@pytest.mark.parametrize(
    ("text", "source", "count"),
    [
        ("edges:50", "edges", 50),
        ("windows", "windows", 50),
        ("previous:7", "previous", 7),
        ("auto:1", "auto", 1),
    ],
)
def test_words_are_parsed(text: str, source: str, count: int) -> None:
    choice = Proposals.parse(text, aggregate="sum")
    assert (choice.source, choice.count, choice.aggregate) == (source, count, "sum")
    assert Proposals.parse(str(choice)) == Proposals(source=choice.source, count=count)


def test_structured_edges_may_come_with_auto_and_edges() -> None:
    assert Proposals.parse(edge_model="model.yml.gz").edge_model == Path("model.yml.gz")
    with pytest.raises(ValueError, match="--edge-model is of the proposals edges, got it with win"):
        Proposals.parse("windows", edge_model="model.yml.gz")


@pytest.mark.parametrize(
    "text", ["edges:", "edges:-1", "edges:1.5", "edges:5:5", "edges:٣", "edges:" + "9" * 5000, "windows: 5"]
)  # fmt: skip
def test_what_is_no_number_is_one_short_line(text: str) -> None:
    with pytest.raises(ValueError, match="expected proposals like edges") as refused:
        Proposals.parse(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("text", "aggregate", "line"),
    [
        ("selective:5", "max", "unknown source of proposals 'selective'; known: auto, edges"),
        (":5", "max", "unknown source of proposals ''"),
        ("x" * 9999, "max", "unknown source of proposals 'xxxx"),
        ("edges:0", "max", "expected 1 to 2000 proposals, got 0"),
        ("edges:2001", "max", "expected 1 to 2000 proposals, got 2001"),
        ("edges", "mean", "unknown way to aggregate proposals 'mean'; known: max, sum"),
    ],
)
def test_what_is_not_known_is_named(text: str, aggregate: str, line: str) -> None:
    with pytest.raises(ValueError, match=line) as refused:
        Proposals.parse(text, aggregate=aggregate)
    assert len(str(refused.value)) < 200
