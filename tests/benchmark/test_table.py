from dataclasses import replace

from benchmark.results import RESULT

from streamseg.benchmark.records import Result
from streamseg.benchmark.table import markdown


def row(text: str, first: str) -> list[str]:
    """Cells of the line that begins with `first`."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_like_is_compared_with_like_and_with_the_default() -> None:
    text = markdown(RESULT)
    assert row(text, "64x96 | streamseg run --size auto") == [
        "64x96",
        "streamseg run --size auto",
        "33x49",
        "openvino int8",
        "60.00",
        "60.00 (30.00..120.00)",
        "15.00 (7.50..30.00)",
        "21.00 (10.50..42.00)",
        "6.00 (3.00..12.00)",
        "0.6765",
    ]
    native = row(text, "64x96 | streamseg run --size native")
    assert [cell.split()[0] for cell in native[5:9]] == ["20.00", "20.00", "7.00", "7.00"]
    assert row(text, "64x96 | loop, network 32x48")[4:] == ["4.00", "", "", "", "", ""]


def test_shares_of_the_ceiling_count_the_network_as_published_and_as_executed() -> None:
    text = markdown(RESULT)
    assert row(text, "openvino int8 | 3.5")[3:] == [
        "640",
        "80 %",
        "60 %",
        "10.00 (5.00..20.00)",
    ]
    assert row(text, "torch fp32 | 31.2")[3:] == ["64", "", "", ""]
    assert "openvino int8 is 1.80 (0.90..3.60) times as fast as openvino bf16." in text


def test_machine_versions_command_and_what_was_skipped_are_told() -> None:
    text = markdown(RESULT)
    head = text.split("\n\n")[:2]
    assert (
        "Abacus, 2 cores (avx512_vnni), load 0.2 at the start, 2026-11-30; `streamseg bench`; drive.mp4"
        in head[0]
    )
    assert "openvino 2026.4.1" in head[1]
    assert text.endswith("- skipped: torch bf16: no such units")
    assert "(the first 5 alone)" in text


def test_efficiency_painting_and_latency_are_told() -> None:
    text = markdown(RESULT)
    assert row(text, "64x96 | 65x97 int8")[2:] == [
        "4.0",
        "40.0",
        "20.0",
        "25.0",
        "1.25 (0.62..2.50)",
    ]
    assert "3 of 6144 labels differ, and 1000 of 18432 bytes, by 1 at most" in text
    assert (
        "p50 40.0 ms, p99 60.0 ms (1.50 times p50; plain arithmetic on all cores, as often and as long: 1.25)"
        in text
    )
    assert "was 75.0 ms old, 100 allowed" in text
    assert "6 were dropped (5 busy, 1 stale), 4 results not asked for" in text


def test_sections_that_did_not_run_are_left_out() -> None:
    bare = Result(
        streamseg="1",
        date="2026-11-30",
        command="streamseg bench --only paint",
        python="3.11.7",
        load_average=None,
        machine=RESULT.machine,
        video="drive.mp4",
        model="icnet-camvid",
        paint=RESULT.paint,
    )
    text = markdown(bare)
    assert text.count("**") == 2
    assert text.count("| --- |") == 1
    alone = replace(RESULT, end_to_end=(replace(RESULT.end_to_end[0], ratios=()),))
    assert "**Accuracy**" in markdown(replace(alone, end_to_end=()))
