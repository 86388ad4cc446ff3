"""A window on the desktop. Comes in: BGR pictures. Runs on the caller's thread (GUI toolkits demand the main one).

Note "cv2 before av": where PyAV is loaded first, OpenCV's Qt plugin links against PyAV's libxcb and the first
window spins for ever (opencv/opencv#21952, PyAV-Org/PyAV#978; seen with 5.0.0 and 18.1.0). So `segmenter.py` loads
cv2 first, and `Window` refuses to start where somebody else did it the other way round.
"""

import os
import sys

import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SinkError


class Window:
    """An OpenCV window that shows one picture after another.

    Raises:
        SinkError: there is no display, this OpenCV was built without windows, or PyAV was loaded before it.
    """

    def __init__(self, title: str) -> None:
        modules = list(sys.modules)
        if "av" in modules and ("cv2" not in modules or modules.index("av") < modules.index("cv2")):
            raise SinkError(
                "OpenCV's windows hang where PyAV was imported first: import cv2 before av, or show a web page"
            )
        import cv2

        if sys.platform == "linux" and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        ):
            raise SinkError(
                "there is no display for a window; `streamseg live --page` shows a web page"
            )
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise SinkError(
                f"this OpenCV cannot open a window ({error.err}); use --page"
            ) from error

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show H x W x 3 uint8 BGR; False once the user pressed q or Esc, or closed the window."""
        import cv2

        cv2.imshow(self._title, picture)
        key = cv2.waitKey(1) & 0xFF
        return (
            key not in (27, ord("q"))
            and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) > 0
        )

    def close(self) -> None:
        """Close the window."""
        import cv2

        cv2.destroyWindow(self._title)
