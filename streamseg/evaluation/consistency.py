"""How steady labels are over time: temporal consistency (TC) and video consistency (VC).

Neither asks whether labels are right, and a map that never changes scores 1 in both: read them beside accuracy.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.evaluation.confusion import Confusion
from streamseg.labels import IGNORE

WINDOW = 8
"""Frames in a window of video consistency: the shorter of the paper's two (VC8, VC16)."""

LEAST_SIDE = 16
"""Of pictures whose flow is wanted, in pixels: OpenCV's DIS reads beyond the edge of smaller ones."""

OUTSIDE = -1
"""A target beyond the edge of the next picture."""


def flow_targets(lumas: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.int32]]:
    """Where each pixel is to be found in the next picture, by optical flow (DIS, its preset "medium").

    Args:
        lumas: the pictures' brightness, H x W uint8 each.

    Returns:
        For every picture but the last H x W int32: the nearest pixel's index into the flattened next picture, or
        `OUTSIDE`.

    Raises:
        ValueError: pictures with a side below `LEAST_SIDE`.
    """
    if lumas and min(lumas[0].shape) < LEAST_SIDE:
        raise ValueError(
            f"expected pictures of at least {LEAST_SIDE}x{LEAST_SIDE}, got {lumas[0].shape}"
        )
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    whole = map(np.ascontiguousarray, lumas)  # DIS takes no views
    return [
        _nearest(np.asarray(dis.calc(first, second, np.empty(0, np.float32))))
        for first, second in pairwise(whole)
    ]


def _nearest(flow: NDArray[np.float32]) -> NDArray[np.int32]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x = np.rint(columns + flow[..., 0]).astype(np.int32)
    y = np.rint(rows + flow[..., 1]).astype(np.int32)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return np.where(inside, y * width + x, OUTSIDE).astype(np.int32)


def count_warped(
    confusion: Confusion,
    labels: Sequence[NDArray[np.uint8]],
    targets: Sequence[NDArray[np.int32]],
) -> None:
    """Count every label map against the next one, warped onto it: `confusion.miou()` is the temporal consistency.

    As Liu et al. (ETC, ECCV 2020) and Miao et al. (VSPW, CVPR 2021) compute it: one confusion matrix over all pairs,
    the earlier map in the place of the truth, no mask where something is hidden. What differs: they take the flow
    of a network (FlowNet2 and RAFT); and pixels that leave the picture are left out here, where VSPW's code gives
    them class 0.

    Args:
        confusion: counts are added to it.
        labels: H x W uint8 class ids, one map a picture, in order.
        targets: `flow_targets` of these pictures.

    Raises:
        ValueError: not one target fewer than maps.
    """
    if len(targets) != max(len(labels) - 1, 0):
        raise ValueError(
            f"expected the flow between {len(labels)} label maps, got that of {len(targets)} pairs"
        )
    for first, second, target in zip(labels, labels[1:], targets, strict=False):
        inside = target != OUTSIDE
        kept = np.where(inside, first, IGNORE).astype(np.uint8)
        confusion.add(kept, second.reshape(-1)[np.where(inside, target, 0)])


def constant_shares(
    truth: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.uint8]],
    window: int = WINDOW,
) -> NDArray[np.float64]:
    """Of the pixels whose true class stays the same through a window, the share whose label stays the same, too.

    Its mean over windows, nan left out, is VC_n of Miao et al. (VSPW, CVPR 2021), n being `window`. As in their code,
    labels need to be constant, not right. What differs: their loop leaves out the last window, and counts unlabelled
    pixels as a class.

    Args:
        truth: H x W uint8 class ids and `IGNORE`, one map a picture, in order.
        labels: H x W uint8 class ids.
        window: pictures in a window, at least 2.

    Returns:
        float64 in 0..1 for each start of a window, none where there are fewer pictures than that; nan where no
        pixel's truth is constant.

    Raises:
        ValueError: a window below 2, or not as many label maps as true ones.
    """
    if window < 2:
        raise ValueError(f"expected a window of at least 2 pictures, got {window}")
    if len(truth) != len(labels):
        raise ValueError(f"expected {len(truth)} label maps like the truth, got {len(labels)}")
    same_truth = [(first == second) & (first != IGNORE) for first, second in pairwise(truth)]
    same_label = [first == second for first, second in pairwise(labels)]
    shares = np.full(max(len(truth) - window + 1, 0), np.nan)
    for start in range(len(shares)):
        steps = slice(start, start + window - 1)
        asked = np.logical_and.reduce(same_truth[steps])
        steady = np.logical_and.reduce(same_label[steps])
        if asked.any():
            shares[start] = (asked & steady).sum() / asked.sum()
    return shares
