"""How a stored picture is turned for display: the display matrix of phones and action cameras."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import av
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

DisplayMatrix = tuple[int, ...]
"""FFmpeg's nine numbers, row by row: 16.16 fixed point, the last column 2.30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """One of the eight ways to turn a picture by right angles, and the matrix that asked for it.

    Attributes:
        transposed: rows become columns, first of all.
        mirrored, flipped: left and right, then top and bottom change places.
        matrix: what the file says, to be written again; None for a picture that is stored upright.
        exact: the matrix asks for just this; it may also ask for other angles, or a stretch.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False
    matrix: DisplayMatrix | None = None
    exact: bool = True

    @property
    def upright_already(self) -> bool:
        """Whether nothing is to be turned."""
        return not (self.transposed or self.mirrored or self.flipped)

    @property
    def degrees(self) -> float:
        """Counter-clockwise turn for display, as `ffprobe` has it, -180 to 180; mirroring aside."""
        if self.matrix is None:
            return 0.0
        a, b, _, c, d = self.matrix[:5]
        across, along = math.hypot(a, c) or 1.0, math.hypot(b, d) or 1.0
        return -math.degrees(math.atan2(b / along, a / across)) + 0.0

    def size(self, stored: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the upright picture."""
        return (stored[1], stored[0]) if self.transposed else stored

    def upright(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A stored plane (height x width) as it is to be seen: a view."""
        turned = plane.T if self.transposed else plane
        return turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]

    def stored(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `upright`: a view."""
        flipped = plane[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return flipped.T if self.transposed else flipped


UPRIGHT = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """What the frame's display matrix asks for: the nearest way by right angles. Not of photographs, see
    `side_data`.
    """
    data = side_data(frame, Type.DISPLAYMATRIX)
    if data is None or len(data) < 36:
        return UPRIGHT
    return from_matrix(struct.unpack("=9i", data[:36]))


def orientation_of_photograph(frame: av.VideoFrame) -> Orientation:
    """As `orientation_of`, by the angle alone: a mirrored photograph stays mirrored."""
    radians = math.radians(frame.rotation)
    cosine, sine = round(math.cos(radians)), round(math.sin(radians))
    one = 1 << 16
    return from_matrix((one * cosine, -one * sine, 0, one * sine, one * cosine, 0, 0, 0, 1 << 30))


def side_data(frame: av.VideoFrame, kind: Type) -> bytes | None:
    """FFmpeg's side data of one kind, as it lies in memory.

    Never ask for any of a photograph: PyAV 18.1 frees the name of a PNG's colour profile a second time
    (the process dies later), and does not know Exif (ValueError).
    """
    found: Any = frame.side_data.get(kind.name)
    return None if found is None else bytes(found)


def from_matrix(matrix: DisplayMatrix) -> Orientation:
    """A pixel at (x, y) is shown at (a x + c y, b x + d y), but for a shift.

    A matrix that shows nothing (all zeros) leaves the picture as it is.
    """
    a, b, _, c, d = matrix[:5]
    straight, crossed = abs(a) + abs(d), abs(b) + abs(c)
    if straight == crossed == 0:
        return UPRIGHT
    transposed = crossed > straight
    across, down = (c, b) if transposed else (a, d)
    exact = abs(across) == abs(down) == 1 << 16 and min(straight, crossed) == 0
    turned = Orientation(transposed=transposed, mirrored=across < 0, flipped=down < 0)
    if turned.upright_already and exact:
        return UPRIGHT
    return Orientation(
        transposed=transposed,
        mirrored=across < 0,
        flipped=down < 0,
        matrix=tuple(matrix),
        exact=exact,
    )
