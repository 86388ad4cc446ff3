import pytest

from streamseg.errors import ModelError
from streamseg.models.scales import Scales


def test_the_paper_trains_at_two() -> None:
    assert Scales() == Scales(values=(0.5, 1.0), combine="attention", flip=False)


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("0.5,1", Scales()),
        ("2, 0.5 ,1", Scales(values=(0.5, 1.0, 2.0))),
        ("1", Scales(values=(1.0,))),
        ("0.5,1,flip", Scales(flip=True)),
        ("average:0.5,1", Scales(combine="average")),
        ("explicit:0.5,1,2,flip", Scales(values=(0.5, 1.0, 2.0), combine="explicit", flip=True)),
    ],
)
def test_texts_are_read_and_written(text: str, scales: Scales) -> None:
    assert Scales.parse(text) == scales
    assert Scales.parse(str(scales)) == scales


def test_a_text_that_does_not_say_combines_as_before() -> None:
    assert Scales.parse("0.5,1", combine="max").combine == "max"
    assert Scales.parse("average:0.5,1", combine="max").combine == "average"


@pytest.mark.parametrize("text", ["0.5,2", "", "1,1", "0.01,1", "1,9", "nan,1", "1,inf"])
def test_impossible_scales_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"expected (up to 8 different scales|scales like)"):
        Scales.parse(text)


def test_words_are_refused() -> None:
    with pytest.raises(ModelError, match=r"expected scales like 0.5,1,2 or .*, got '1,b'"):
        Scales.parse("1,b")
    with pytest.raises(
        ModelError, match=r"unknown way to combine scales 'sum'; known: attention, "
    ):
        Scales.parse("sum:0.5,1")
