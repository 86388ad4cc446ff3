import math

import pytest

from streamseg.crf.parameters import CRF


def test_the_defaults_are_deconvnets_and_pydensecrf_is_its_readmes() -> None:
    assert CRF.parse("deconvnet") == CRF()
    assert CRF() == CRF(
        gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=20, bilateral_srgb=3, bilateral_weight=5,
        iterations=10,
    )  # fmt: skip
    assert CRF.parse("pydensecrf") == CRF(
        gaussian_sxy=3, gaussian_weight=3, bilateral_sxy=80, bilateral_srgb=13, bilateral_weight=10,
        iterations=5,
    )  # fmt: skip


def test_words_change_what_they_name() -> None:
    found = CRF.parse("iterations=5, bilateral=80:13:10")
    assert found == CRF.parse("pydensecrf")
    changed = CRF.parse("pydensecrf,gaussian=1.5:0")
    assert (changed.gaussian_sxy, changed.gaussian_weight) == (1.5, 0)
    assert changed.bilateral_sxy == 80


@pytest.mark.parametrize("text", ["deconvnet", "pydensecrf", "gaussian=1.5:2,iterations=3"])
def test_what_is_printed_can_be_parsed(text: str) -> None:
    crf = CRF.parse(text)
    assert CRF.parse(str(crf)) == crf


def test_known_parameters_print_as_their_name() -> None:
    assert str(CRF()) == "deconvnet"
    assert str(CRF.parse("pydensecrf,iterations=5")) == "pydensecrf"
    assert str(CRF(iterations=3)) == "gaussian=3:3,bilateral=20:3:5,iterations=3"


@pytest.mark.parametrize(
    "text",
    [
        "", "drive.mp4", "iterations", "iterations=", "iterations=2.5", "iterations=5,", "gaussian=3",
        "gaussian=3:3:3", "bilateral=80:13", "bilateral=a:b:c", "iterations=5,deconvnet", "x=1", "=",
        "iterations=" + "9" * 5000,
    ],
)  # fmt: skip
def test_other_words_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected --crf deconvnet, pydensecrf, or") as refused:
        CRF.parse(text)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("iterations=0", "number of iterations from 1 to 100"),
        ("iterations=101", "number of iterations"),
        ("gaussian=0:3", "gaussian sxy from 0.1 to 500"),
        ("gaussian=3:-1", "gaussian weight"),
        ("bilateral=501:3:5", "bilateral sxy"),
        ("bilateral=20:0:5", "bilateral srgb"),
        ("bilateral=20:3:1e9", "bilateral weight"),
        ("bilateral=20:nan:5", "bilateral srgb"),
        ("bilateral=inf:3:5", "bilateral sxy"),
    ],
)
def test_numbers_out_of_range_are_refused(text: str, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CRF.parse(text)


def test_ranges_hold_however_it_is_made() -> None:
    with pytest.raises(ValueError, match="gaussian weight"):
        CRF(gaussian_weight=math.nan)
