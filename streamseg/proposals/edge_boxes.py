"""Edge Boxes (Zitnick, Dollár, ECCV 2014) of OpenCV contrib. Comes in: a picture. Goes out: candidates, best first.

Boxes that hold whole contours score high. Contours are where the picture's gradient is greatest, or what structured
edges find, whose model does not come with OpenCV.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamseg.errors import BackendError, ModelError

GENERATED = 2000
"""Boxes that are asked for, as in the paper; the best of them are looked at."""

BLUR_PX = 1.0
"""Standard deviation of the smoothing before the gradient."""

FOREST = ("childs", "featureIds", "thresholds", "edgeBoundaries", "edgeBins")
"""What a file of structured edges holds beside "options"."""

Map = NDArray[np.float32]


def has_edge_boxes() -> bool:
    """Whether this OpenCV has them: opencv-contrib-python does, opencv-python does not."""
    return hasattr(cv2, "ximgproc")


class EdgeBoxes:
    """Finds boxes in one picture after the other. Not thread-safe.

    Args:
        model: structured edges, `model.yml.gz` of opencv_extra; None for gradients.

    Raises:
        BackendError: this OpenCV has no Edge Boxes.
        ModelError: no such file, or another kind.
    """

    def __init__(self, model: Path | None = None) -> None:
        if not has_edge_boxes():
            raise BackendError(
                "edge boxes need cv2.ximgproc, which opencv-python lacks; pip uninstall it and pip install "
                "opencv-contrib-python in its place, or take --proposals windows"
            )
        opencv: Any = cv2  # whose stubs know nothing of what only contrib has
        contrib = opencv.ximgproc
        self._boxes = contrib.createEdgeBoxes(maxBoxes=GENERATED)
        self._structured: Any = None
        if model is not None:
            check_forest(model)
            self._structured = contrib.createStructuredEdgeDetection(str(model))

    def candidates(self, picture_HWC: Map) -> NDArray[np.float64]:
        """N x 4 (left, top, width, height), by falling score; none where there are no edges.

        Args:
            picture_HWC: R'G'B' in 0..255.
        """
        edges_HW, angles_HW = self._edges(picture_HWC)
        found = self._boxes.getBoundingBoxes(edges_HW, angles_HW)
        # (boxes, scores) since OpenCV 4, boxes alone before. Of no boxes it is an empty tuple.
        boxes = found[0] if isinstance(found, tuple) and len(found) == 2 else found
        return np.asarray(boxes, np.float64).reshape(-1, 4)

    def _edges(self, picture_HWC: Map) -> tuple[Map, Map]:
        if self._structured is None:
            return gradient_edges(picture_HWC)
        edges_HW = self._structured.detectEdges(np.ascontiguousarray(picture_HWC / 255, np.float32))
        angles_HW = self._structured.computeOrientation(edges_HW)
        return self._structured.edgesNms(edges_HW, angles_HW), angles_HW


def gradient_edges(picture_HWC: Map) -> tuple[Map, Map]:
    """Thin edges by the gradient of the channel in which it is steepest.

    Args:
        picture_HWC: R'G'B' in 0..255.

    Returns:
        H x W float32 each: strength, 0..1, only where none beside it, across the edge, is stronger; and the direction
        across the edge, 0..pi, from x towards y.
    """
    smooth = cv2.GaussianBlur(np.ascontiguousarray(picture_HWC), (0, 0), BLUR_PX)
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    strength = cv2.magnitude(across, down)
    steepest = strength.argmax(2)[..., None]
    dx, dy, strength = (
        np.take_along_axis(values, steepest, 2)[..., 0] for values in (across, down, strength)
    )
    angle = np.mod(np.arctan2(dy, dx), np.float32(np.pi)).astype(np.float32)
    y, x = np.indices(angle.shape, np.float32)
    sideways, upwards = np.cos(angle), np.sin(angle)
    beside = [
        cv2.remap(
            strength, x + sign * sideways, y + sign * upwards, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for sign in (np.float32(1), np.float32(-1))
    ]  # fmt: skip
    thin = np.where((strength < beside[0]) | (strength < beside[1]), 0, strength)
    return (thin / max(float(thin.max()), 1e-6)).astype(np.float32), angle


def check_forest(path: Path) -> None:
    """Refuse what is no file of structured edges: OpenCV, which looks at nothing, would end the process.

    Only the wrong file is found out so, not a hostile one: its indices are used unchecked.

    Raises:
        ModelError: no such file, or another kind.
    """
    if not path.is_file():
        raise ModelError(f"expected structured edges (model.yml.gz) at {path}; there is no file")
    try:
        storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
        trees = storage.getNode("options").getNode("numberOfTrees")
        good = trees.isInt() and trees.real() >= 1
        good = good and all(storage.getNode(name).size() > 0 for name in FOREST)
        storage.release()
    except (cv2.error, SystemError, UnicodeDecodeError):
        good = False
    if not good:
        raise ModelError(
            f"expected structured edges at {path}, as opencv_extra's testdata/cv/ximgproc/model.yml.gz, got "
            f"something else"
        )
