"""A stand-in for OpenCV contrib's Edge Boxes, with the shapes of its calls."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Contrib:
    """`cv2.ximgproc`, with an answer that is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self.options: dict[str, Any] = {}
        self.model = ""

    def createEdgeBoxes(self, **options: Any) -> "Contrib":
        self.options = options
        return self

    def getBoundingBoxes(self, edges: NDArray[np.float32], angles: NDArray[np.float32]) -> Any:
        self.asked.append((edges, angles))
        return self.answer

    def createStructuredEdgeDetection(self, model: str) -> SimpleNamespace:
        self.model = model
        return SimpleNamespace(
            detectEdges=lambda picture: picture[..., 0],
            computeOrientation=lambda edges: edges + 1,
            edgesNms=lambda edges, angles: edges + 2 * angles,
        )
