"""A benchmark's result as Markdown: a table for each section that ran, with what its numbers mean."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamseg.benchmark.records import (
    Accuracy,
    EndToEnd,
    Latest,
    Network,
    NetworkRow,
    Paint,
    Pipeline,
    Program,
    Ratio,
    Result,
    Size,
)


def markdown(result: Result) -> str:
    """All tables, with machine, versions and command above and what was skipped below."""
    parts = [_heading(result)]
    if result.end_to_end:
        parts.append(_end_to_end(result.end_to_end, result.accuracy))
    if result.accuracy:
        parts.append(_accuracy(result.accuracy))
    if result.network:
        parts.append(_network(result.network))
    if result.stages:
        parts.append(_stages(result.stages))
    if result.paint is not None:
        parts.append(_paint(result.paint))
    parts += [_latest(found) for found in result.latest]
    if result.skipped:
        parts.append("\n".join(f"- skipped: {one.what}: {one.reason}" for one in result.skipped))
    return "\n\n".join(parts)


def _heading(result: Result) -> str:
    return (
        f"{machine_text(result.machine, result.load_average)}, {result.date}; `{result.command}`; "
        f"{result.video}; model {result.model}; on the CPU. Every speed is a median over rounds in which all "
        f"contestants take turns; ratios are taken within rounds, least and greatest in brackets.\n\n"
        f"{versions_text(result.streamseg, result.python, result.machine)}"
    )


def _end_to_end(found: Iterable[EndToEnd], scores: Iterable[Accuracy]) -> str:
    scores = tuple(scores)
    miou = {score.name: f"{score.miou:.4f}" for score in scores}
    scored = f"mIoU at {size_text(scores[0].network_size)}" if scores else "mIoU"
    rows = [
        [
            size_text(one.video_size),
            program.name,
            size_text(program.network_size),
            program.network,
            f"{program.frames_per_second:.2f}",
            *(
                _baseline_ratio(one, program, kind, same)
                for kind in ("loop", "supervision")
                for same in (False, True)
            ),
            miou.get(program.network, "") if program.keyframe == "off" else "",
        ]
        for one in found
        for program in one.programs
    ]
    head = ["video", "program", "network input", "network", "frames/s", "times the loop"]
    head += ["... at the same input", "times supervision", "... at the same input", scored]
    return (
        "**End to end, file to overlaid file**, every frame through the whole network but where `--keyframe` is "
        "given (docs/keyframes.md has what that costs in mIoU). loop: the script people write, cv2 in, torch eager, "
        "cv2.resize of every class, arg-max, palette, addWeighted, cv2 out. "
        "supervision: `supervision.process_video` around OpenVINO, painting likewise. Both run the network as "
        "published. Times: against theirs at the video's own size, and where ours takes another input, against "
        "theirs at that input. mIoU: of the same network and precision on CamVid's pictures, as in the table of "
        "accuracy.\n\n" + markdown_table(head, rows, right_from=4)
    )


def _baseline_ratio(one: EndToEnd, program: Program, kind: str, same_input: bool) -> str:
    """The ratio of `program` to the baseline of this kind at the video's size, or at about the program's own."""
    rivals = [other for other in one.programs if other.kind == kind]
    if program.kind != "streamseg" or not rivals:
        return ""
    wanted = program.network_size if same_input else one.video_size
    nearest = min(rivals, key=lambda other: abs(_area(other.network_size) - _area(wanted)))
    return next(
        ratio_text(ratio)
        for ratio in one.ratios
        if (ratio.of, ratio.to) == (program.name, nearest.name)
    )


def _accuracy(found: Sequence[Accuracy]) -> str:
    rows = [
        [
            score.name,
            size_text(score.network_size),
            str(score.images),
            f"{score.miou:.4f}",
            f"{score.pixel_accuracy:.4f}",
        ]
        for score in found
    ]
    first = found[0]
    part = "" if first.images == first.of_images else f" (the first {first.images} alone)"
    return (
        f"**Accuracy** on {first.dataset} {first.split}, {first.of_images} images{part}, at the label maps' own "
        f"size; as published: fed and painted by cv2.\n\n"
        + markdown_table(
            ["network", "network input", "images", "mIoU", "pixel accuracy"], rows, right_from=2
        )
    )


def _network(found: Iterable[Network]) -> str:
    parts = [
        "**The network alone, from input in memory to logits.** ms: one picture, all cores on it; frames/s: as "
        "many pictures side by side as the engine takes. GFLOP/s and the share of the ceiling count the network "
        "as published, two operations for each product. streamseg's engines run an exact rearrangement that "
        "needs fewer, so more than 100 % is possible; executed is the share that the processor really "
        "computed. The ceiling is what 3x3 convolutions of 256 channels reach on this machine in the same "
        "precision and rounds."
    ]
    for one in found:
        done = "" if one.gflop_executed is None else f", {one.gflop_executed:.1f} rearranged"
        rows = [_network_row(one, row) for row in one.rows]
        rows += [
            [ceiling.name, "", "", f"{ceiling.gflop_per_second:.0f}", "100 %", "100 %", ""]
            for ceiling in one.ceilings
        ]
        head = ["network", "ms", "frames/s", "GFLOP/s", "of the ceiling", "executed"]
        parts.append(
            f"Input {size_text(one.size)}, {one.gflop_published:.1f} GFLOP a picture as published{done}:\n\n"
            + markdown_table([*head, "times torch fp32"], rows, right_from=1)
            + "".join(
                f"\n\n{ratio.of} is {ratio_text(ratio)} times as fast as {ratio.to}."
                for ratio in one.ratios
                if not ratio.to.startswith("torch")
            )
        )
    return "\n\n".join(parts)


def _network_row(one: Network, row: NetworkRow) -> list[str]:
    share = executed = ""
    if row.of_ceiling is not None:
        share = f"{row.of_ceiling.median:.0%}"
        fewer = 1.0
        if row.form == "streamseg" and one.gflop_executed is not None:
            fewer = one.gflop_executed / one.gflop_published
        executed = f"{row.of_ceiling.median * fewer:.0%}"
    to_torch = next(
        (
            ratio_text(ratio)
            for ratio in one.ratios
            if ratio.of == row.name and ratio.to.startswith("torch")
        ),
        "",
    )
    return [
        row.name,
        f"{row.milliseconds:.1f}",
        f"{row.frames_per_second:.1f}",
        f"{row.gflop_per_second:.0f}",
        share.replace("%", " %"),
        executed.replace("%", " %"),
        to_torch,
    ]


def _stages(found: Sequence[Pipeline]) -> str:
    names = [stage.name for stage in found[0].stages]
    rows = [
        [
            size_text(one.video_size),
            f"{size_text(one.network_size)} {one.precision}",
            *(f"{stage.core_ms:.1f}" for stage in one.stages),
            f"{one.core_ms:.1f}",
            f"{one.ideal_ms:.1f}",
            f"{one.wall_ms:.1f}",
            ratio_text(one.wall_to_ideal),
        ]
        for one in found
    ]
    head = ["video", "network", *names, "sum", f"/ {found[0].cores} cores", "wall", "wall / ideal"]
    return (
        "**What the pipeline makes of the cores.** Core time of each stage alone over the same frames, in ms a "
        "frame, all threads together; then their sum, that divided by the cores, and the time of a frame end to "
        "end, which would equal it if no core ever idled.\n\n"
        + markdown_table(head, rows, right_from=2)
    )


def _paint(found: Paint) -> str:
    height, width = found.size
    rows = [
        ["streamseg", f"{found.streamseg_ms:.1f}", ratio_text(found.ratio)],
        ["cv2, numpy", f"{found.cv2_ms:.1f}", ""],
    ]
    return (
        f"**Painting** {size_text(found.size)} from logits of {size_text(found.grid)}: resize, arg-max and blending. "
        f"{found.differing_labels} of {height * width} labels differ, and {found.differing_bytes} of "
        f"{3 * height * width} bytes, by {found.greatest_difference} at most where labels are equal.\n\n"
        + markdown_table(["painter", "ms", "times cv2"], rows, right_from=1)
    )


def _latest(found: Latest) -> str:
    causes = ", ".join(f"{count} {cause}" for cause, count in found.dropped_by_cause.items())
    return (
        f"**The newest result** of a {size_text(found.video_size)} source at {found.source_fps:g} frames/s, polled, "
        f"keyframe {found.keyframe} ({found.segmentation_keyframes} of {found.written} the whole network); "
        f"network {size_text(found.network_size)} {found.precision}; age from capture to delivery of "
        f"{found.results} results: p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms "
        f"({found.p99_to_p50:.2f} times p50; plain arithmetic on all cores, as often and as long: "
        f"{found.machine_p99_to_p50:.2f}), greatest {found.max_ms:.1f} ms. The oldest result ever given out, "
        f"repeated ones included, was {found.greatest_age_ms:.1f} ms old, {found.max_age_ms:g} allowed. Of "
        f"{found.decoded} frames {found.dropped} were dropped ({causes}), {found.unread} results not asked for."
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right_from: int) -> str:
    """A table in Markdown. Columns from `right_from` on hold numbers."""
    rule = ["---" if index < right_from else "---:" for index in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def machine_text(machine: Mapping[str, Any], load_average: float | None) -> str:
    """Of `machine.examine`: processor, cores, units for short numbers, and how busy it was."""
    units = ", ".join(machine["bf16"]) or "neither bf16 nor int8 units"
    busy = "" if load_average is None else f", load {load_average:.1f} at the start"
    return f"{machine['processor']}, {machine['cores']} cores ({units}){busy}"


def versions_text(streamseg: str, python: str, machine: Mapping[str, Any]) -> str:
    """In brackets."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return f"(streamseg {streamseg}, Python {python}, {packages}.)"


def ratio_text(ratio: Ratio) -> str:
    """Median, least and greatest."""
    return f"{ratio.median:.2f} ({ratio.least:.2f}..{ratio.greatest:.2f})"


def size_text(size: Size) -> str:
    """Height x width."""
    return f"{size[0]}x{size[1]}"


def _area(size: Size) -> int:
    return size[0] * size[1]
