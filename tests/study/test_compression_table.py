from dataclasses import replace

from study.compression_results import NETWORK, ROWS

from streamseg.study.compression_table import PAPER, tables


def test_ways_stand_side_by_side_with_the_papers_numbers() -> None:
    table, _ = tables(ROWS, NETWORK, "fp32")
    assert table.head == (
        "keep", "parameters (M)", "GMAC", "ms", "progressive, mIoU", "one-shot, mIoU",
        "from scratch, mIoU", "paper, PSPNet50, Cityscapes, mIoU", "paper, ms",
    )  # fmt: skip
    assert table.rows == (
        ("1", "26.00", "40.00", "200.0", "70.0", "70.0", "70.0", "71.7", "446"),
        ("0.75", "14.60", "22.00", "120.0", "69.0", "", "", "", ""),
        ("0.5", "6.50", "10.00", "60.0", "68.0", "66.0", "65.0", "67.9", "170"),
    )
    assert set(PAPER) == {1.0, 0.5, 0.25}


def test_every_network_is_told_of_in_full() -> None:
    _, table = tables(ROWS, NETWORK, "bf16 autocast")
    assert "own precision, bf16 autocast" in table.text
    assert table.rows[0] == ("uncompressed", "1", "1", "100", "", "0.7000", "", "0.9000")
    half = ("progressive", "0.5", "0.5", "180", "0.1250", "0.6800", "+0.0200", "0.9000")
    assert table.rows[2] == half
    assert len(table.rows) == len(ROWS)


def test_the_papers_columns_are_said_to_be_of_another_network() -> None:
    text = tables(ROWS, NETWORK, "fp32")[0].text
    assert "**another network**, PSPNet50" in text
    assert "Input 577x769, openvino fp32" in text


def test_a_given_network_was_trained_before() -> None:
    assert "icnet-width1 (trained here, epochs: 100)" in tables(ROWS, NETWORK, "fp32")[0].text
    given = replace(NETWORK, given=True)
    assert "icnet-width1 (trained before this study)" in tables(ROWS, given, "fp32")[0].text
