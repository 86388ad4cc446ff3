from dataclasses import replace

from benchmark.keyframe_results import CLIP, CURVE

from streamseg.benchmark.keyframe_table import markdown, summary


def cells(text: str, *first: str) -> list[list[str]]:
    """Cells of the lines that begin with these."""
    start = "| " + " | ".join(first) + " |"
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_head_says_where_numbers_are_from() -> None:
    text = markdown(CURVE)
    assert text.startswith(
        "Some CPU, 2 cores (avx512_bf16), load 0.5 at the start, 2026-01-02; `scripts/keyframes`;"
    )
    assert "(streamseg 1.2.3, Python 3.11.7, numpy 2.0.)" in text


def test_summary_tells_the_named_intervals() -> None:
    text = summary(CLIP, CURVE.rows)
    assert (
        "camvid val, 101 frames of 360x480 at 15 frames/s (recipe camera), scored from frame 7"
        in text
    )
    assert (
        "- interval 4, motion codec, propagate: relative time 0.45 (0.44..0.46); mIoU lost 0.0040 on average over "
        "distances, 0.0100 at the worst; TC +0.0750, VC8 +0.0000 against every frame in full"
    ) in text
    assert "- interval 8, motion codec, propagate: relative time 0.35" in text
    assert "over no motion, from interval 4 on: mIoU +0.0460 to +0.0880 on average" in text
    assert (
        "mIoU -0.0025 to +0.0000 at 2 intervals, -0.0013 on average; below fixed by more than two standard errors at "
        "none of them"
    ) in text


def test_a_clip_without_codec_vectors_has_no_summary() -> None:
    assert summary(CLIP, []).endswith("- nothing to sum up")


def test_every_setting_has_its_line() -> None:
    text = markdown(CURVE)
    (full,) = cells(text, "every frame in full")
    assert full[5] == "0.6700"
    fixed, timed = cells(text, "codec", "propagate", "4")
    assert fixed == [
        "codec", "propagate", "4", "0.45 (0.44..0.46)", "0.45", "0.6650", "0.6660", "0.6600", "0.0040", "0.0100",
        "+0.0460", "+0.0900", "-0.0025 ±0.0020", "0.8750", "0.9000",
    ]  # fmt: skip
    assert timed == ["codec", "propagate", "4", "25.0 %", "45.0", "0.45 (0.44..0.46)", "0.45"]
    (adaptive,) = cells(text, "codec", "propagate", "0.5")
    assert adaptive == [
        "codec", "propagate", "0.5", "30.0 %", "0.49", "0.6650", "0.0050", "0.8700", "0.9000",
    ]  # fmt: skip
    assert "every frame in full: 100.0 ms" in text
    (cost,) = cells(text, "with B-frames", "codec")
    assert cost[2:] == ["0.50", "0.70", "0.10", "1.30 (1.20..1.50)", "0.40"]
    (beyond, _) = cells(text, "codec", "propagate", "8")
    assert beyond[12] == ""


def test_all_rows_have_all_columns() -> None:
    for block in markdown(replace(CURVE, clips=(CLIP, CLIP))).split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1
