"""Score a segmenter on a video, through the very pipeline that users run: what keyframe reuse costs in accuracy."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.errors import DataError
from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.consistency import constant_shares, count_warped
from streamseg.evaluation.evaluate import check_classes, describe, scores
from streamseg.evaluation.labelled_video import LabelledVideo
from streamseg.segmenter import Segmenter

ADAPTIVE_RUNS = 8
"""Of a single run it is chance where in the video its segmentation keyframes lie."""


def evaluate_video(
    segmenter: Segmenter,
    video: LabelledVideo,
    *,
    keyframe: str = "off",
    motion: str = "auto",
    features: str = "auto",
    offsets: bool = True,
    scored_from: int | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Label every frame of `video` and compare at its own size. Label maps of one run are held in memory.

    With "fixed:N" the video is run N times, "fixed:N+1" to "fixed:N+N", so that every scored frame is met at each
    distance from its segmentation keyframe, 0 to N - 1. Average and minimum over these distances say what an
    interval costs, as GSVNet (Lee et al., 2021) reports it. Frames before N - 1 are not met at each; they are not
    scored. Adaptive is run in `ADAPTIVE_RUNS` phases, for the same reason, and scored over all of them.

    Args:
        segmenter: its classes must be the video's, in the same order.
        keyframe, motion, features: as of `Segmenter.stream`.
        offsets: run in this way; if not, once, as "off" is.
        scored_from: index of the first frame that is scored, where results are to be compared frame by frame with
            those of a greater interval; by default the first that can be.
        limit: only the first so many frames.
        progress: called after each frame with (done, total), of all runs.

    Returns:
        The contract's `eval --json`; "miou", "pixel_accuracy" and "iou" from one confusion matrix over all scored
        frames of all runs, "fps" of the whole stream, decoding included. Beside it:
        "video": {"frames", "scored", "runs", "recipe", "rate"}: frames of the video, scored ones and runs of it;
        "keyframe" as asked, "motion" as used: "codec", "flow" or "none"; "features" as used: "propagate",
        "interpolate" or "none";
        "keyframe_share": segmentation keyframes over frames, of the scored ones;
        "miou_by_distance": {"0": ..., "1": ...}, by frames since the segmentation keyframe;
        "miou_average", "miou_minimum" of these, where every frame was met at each of them, alone;
        "miou_by_run": of every run alone, which tells how much it matters which frames are segmentation keyframes;
        "temporal_consistency", "vc8": see `consistency`; None where too few frames are scored.

    Raises:
        DataError: the classes differ, or the video's frames do not match the truth in number or size.
        SourceError: the video cannot be read.
        ValueError: an argument has no meaning, or no frame is left to score.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected a limit of at least 1 frame, got {limit}")
    check_classes(segmenter, video.labels, video.dataset)
    total = min(limit or len(video), len(video))
    settings = every_offset(keyframe) if offsets else (keyframe,)
    fixed = keyframe.startswith("fixed")
    first = first_scored(scored_from, len(settings) - 1, total, each_distance=fixed)
    tally = Tally(video, first, total)
    for number, setting in enumerate(settings):

        def count(frames: int, before: int = number * total) -> None:
            progress(before + frames, len(settings) * total)

        asked = {"keyframe": setting, "motion": motion, "features": features}
        run = label(segmenter, video, asked, total, count)
        tally.add(run)
    return {
        "dataset": video.dataset,
        "split": video.split,
        **describe(segmenter),
        "size": list(segmenter.network_size(video.truth[0].shape)),
        "frames": total,
        **tally.scores(each_distance=fixed and settings != (keyframe,)),
        "video": {
            "frames": total,
            "scored": total - first,
            "runs": len(settings),
            "recipe": video.recipe,
            "rate": run.rate,
        },
        "keyframe": keyframe,
        "motion": run.motion,
        "features": run.features,
        "fallbacks": run.fallbacks,
    }


def every_offset(keyframe: str) -> tuple[str, ...]:
    """ "fixed:3" as "fixed:3+1", "fixed:3+2", "fixed:3+3"; adaptive in `ADAPTIVE_RUNS` phases; else as it is."""
    match = re.fullmatch(r"fixed:([1-9][0-9]{0,3})|adaptive(:[0-9.]+)?", keyframe)
    if match is None:
        return (keyframe,)
    runs = int(match[1]) if match[1] else ADAPTIVE_RUNS
    return tuple(f"{keyframe}+{first}" for first in range(1, runs + 1))


def first_scored(asked: int | None, offsets: int, total: int, *, each_distance: bool) -> int:
    """The first frame to score: if none is asked for, the first that all runs have met at their own distance.

    Args:
        offsets: frames by which the last run is later than the first one.
        each_distance: those before are met by too few runs, and may not be asked for.
    """
    least = offsets if each_distance else 0
    if total <= least:
        raise ValueError(
            f"expected more than {least} frames, to meet some at every distance from 0 to {least}; got {total}"
        )
    first = min(offsets, total - 1) if asked is None else asked
    if not least <= first < total:
        raise ValueError(f"expected scored_from of {least} to {total - 1}, got {asked}")
    return first


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What one stream over the video gave.

    Attributes:
        labels: of each frame, H x W uint8 class ids.
        ages: of each frame, frames since the one whose deep features were used.
        keyframes: of each frame, whether it is a segmentation keyframe.
        seconds: of the stream, decoding included, warming up left out.
        rate: of the video, frames a second; None where its header does not say.
        motion, features: by what features were moved, and whose, as in the report of the stream.
        fallbacks: as in the report of the stream.
    """

    labels: list[NDArray[np.uint8]]
    ages: list[int]
    keyframes: list[bool]
    seconds: float
    rate: float | None
    motion: str
    features: str
    fallbacks: list[str]


def label(
    segmenter: Segmenter,
    video: LabelledVideo,
    asked: Mapping[str, Any],
    total: int,
    progress: Callable[[int], None],
) -> Run:
    """Label the first `total` frames of `video`.

    Args:
        asked: "keyframe", "motion" and "features", as of `Segmenter.stream`.

    Raises:
        DataError: its frames do not match the truth in number or size.
    """
    maps = f"the label maps of {video.dataset} {video.split}"
    expected = f"expected {len(video)} frames in {video.path.name}, one for each of {maps}"
    labels: list[NDArray[np.uint8]] = []
    ages, keyframes = [], []
    limit = None if total == len(video) else total
    with segmenter.stream(video.path, limit=limit, **asked) as stream:
        for result in stream:
            if len(labels) == total:
                raise DataError(f"{expected}; got more")
            if result.labels.shape != video.truth[0].shape:
                raise DataError(
                    f"expected pictures of {video.truth[0].shape} in {video.path.name} like {maps}, "
                    f"got {result.labels.shape}"
                )
            labels.append(result.labels)
            ages.append(result.feature_age)
            keyframes.append(result.is_keyframe)
            progress(len(labels))
    if len(labels) < total:
        raise DataError(f"{expected}; got {len(labels)}")
    report = stream.report()
    return Run(
        labels=labels,
        ages=ages,
        keyframes=keyframes,
        seconds=report["wall_seconds"] - report["warmup_seconds"],
        rate=None if stream.info.rate is None else float(stream.info.rate),
        motion=report["keyframe"]["motion"],
        features=report["keyframe"]["features"],
        fallbacks=report["fallbacks"],
    )


class Tally:
    """Counts runs over one video, frames `first` to `total` - 1 of each."""

    def __init__(self, video: LabelledVideo, first: int, total: int) -> None:
        self._scored = slice(first, total)
        self._video = video
        self._truth = video.truth[self._scored]
        self._targets = video.flow_targets(total)[first:]
        self._by_distance: dict[int, Confusion] = defaultdict(lambda: Confusion(len(video.labels)))
        self._by_run: list[float] = []
        self._warped = Confusion(len(video.labels))
        self._constant: list[float] = []
        self._keyframes: list[bool] = []
        self._frames = 0
        self._seconds = 0.0

    def add(self, run: Run) -> None:
        """Count one run."""
        labels, before = run.labels[self._scored], self._total()
        for truth, found, age in zip(self._truth, labels, run.ages[self._scored], strict=True):
            self._by_distance[age].add(truth, found)
        of_run = self._total()
        of_run.counts -= before.counts
        self._by_run.append(of_run.miou())
        count_warped(self._warped, labels, self._targets)
        self._constant += constant_shares(self._truth, labels).tolist()
        self._keyframes += run.keyframes[self._scored]
        self._frames += len(run.labels)
        self._seconds += run.seconds

    def scores(self, *, each_distance: bool) -> dict[str, Any]:
        """See `evaluate_video`."""
        by_distance = {str(age): self._by_distance[age].miou() for age in sorted(self._by_distance)}
        constant = [share for share in self._constant if share == share]
        every = list(by_distance.values())
        return {
            **scores(self._total(), self._video.labels),
            "fps": self._frames / self._seconds,
            "keyframe_share": sum(self._keyframes) / len(self._keyframes),
            "miou_by_distance": by_distance,
            "miou_by_run": self._by_run,
            **({"miou_average": mean(every), "miou_minimum": min(every)} if each_distance else {}),
            "temporal_consistency": self._warped.miou() if self._targets else None,
            "vc8": mean(constant) if constant else None,
        }

    def _total(self) -> Confusion:
        total = Confusion(len(self._video.labels))
        for confusion in self._by_distance.values():
            total.counts += confusion.counts
        return total
