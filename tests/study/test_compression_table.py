from dataclasses import replace

from study.compression_results import FULL, RESULT

from streamseg.study.compression_table import PAPER, markdown


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(text: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if line.startswith("|")]


def test_ways_stand_side_by_side_with_the_papers_numbers() -> None:
    table = rows(markdown(RESULT))
    assert table[0] == [
        "keep", "parameters (M)", "GMAC", "ms", "progressive, mIoU", "one-shot, mIoU",
        "from scratch, mIoU", "paper, PSPNet50, Cityscapes, mIoU", "paper, ms",
    ]  # fmt: skip
    assert table[2] == ["1", "26.00", "40.00", "200.0", "70.0", "70.0", "70.0", "71.7", "446"]
    assert table[3] == ["0.75", "14.60", "22.00", "120.0", "69.0", "", "", "", ""]
    assert table[4] == ["0.5", "6.50", "10.00", "60.0", "68.0", "66.0", "65.0", "67.9", "170"]


def test_every_network_is_told_of_in_full() -> None:
    table = rows(markdown(RESULT))[5:]
    assert table[2] == ["uncompressed", "1", "1", "100", "", "0.7000", "", "0.9000"]
    half = ["progressive", "0.5", "0.5", "180", "0.1250", "0.6800", "+0.0200", "0.9000"]
    assert table[4] == half
    assert len(table) == 2 + len(RESULT.networks)


def test_the_papers_column_is_said_to_be_of_another_data_set() -> None:
    text = markdown(RESULT)
    assert "another network on another data set" in text
    assert "`scripts/compression`" in text
    assert "camvid val, 101 images (openvino fp32, network 577x769)" in text
    assert set(PAPER) == {1.0, 0.5, 0.25}


def test_a_given_network_was_trained_before() -> None:
    assert "icnet-camvid-full (trained here, epochs: 100)" in markdown(RESULT)
    given = replace(RESULT, epochs=0, networks=(replace(FULL, epochs=0),))
    assert "icnet-camvid-full (trained before this run)" in markdown(given)


def test_a_trial_says_so() -> None:
    assert "too short for its scores" not in markdown(RESULT)
    assert "too short for its scores" in markdown(replace(RESULT, quick=True))
