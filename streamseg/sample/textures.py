"""Dice come in; what surfaces look like goes out, made of noise: facades, ground, foliage, sky, fence."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamseg.sample.world import (
    BUILDING,
    FENCE,
    GLASS,
    GROUND,
    HAZE,
    KERB,
    LANE,
    PAVEMENT,
    PERIOD,
    ROAD,
    SKY,
    TREE,
    Color,
    Image,
    bytes_of,
)

STOREY, METER = 3.0, 48
"""Meters a storey; pixels a meter of the textures of walls."""
BRICKS = (
    (104, 134, 152), (70, 84, 122), (92, 118, 138), (132, 146, 154), (184, 192, 196), (82, 98, 118),
)  # fmt: skip

Wall = NDArray[np.float32]
"""h x w x 3, `METER` pixels a meter. Places on it are meters from its top left."""


class Texture:
    """A painted rectangle: h x w x 4 uint8 (BGR, class), and for cut-outs an h x w uint8 mask."""

    def __init__(self, pixels: ArrayLike, class_id: int, mask: Image | None = None) -> None:
        self.pixels, self.mask = _with_class(pixels, class_id), mask
        self._levels: dict[tuple[int, int], tuple[Image, Image | None]] = {}

    def shrunk(self, width: float, height: float) -> tuple[Image, Image | None]:
        """Pixels and mask, halved along each axis down to the size of their picture on the canvas."""
        rows, columns = self.pixels.shape[:2]
        halvings = columns / max(width, 1), rows / max(height, 1)
        n, m = (min(max(int(math.log2(h)), 0), 6) for h in halvings)
        if (n, m) not in self._levels:
            size = max(1, columns >> n), max(1, rows >> m)
            mask = None if self.mask is None else _shrink(self.mask, size)
            self._levels[n, m] = _shrink(self.pixels, size), mask
        return self._levels[n, m]


def _with_class(pixels: ArrayLike, class_id: ArrayLike) -> Image:
    image = bytes_of(pixels)
    ids = np.broadcast_to(np.asarray(class_id, np.uint8), image.shape[:2])
    return np.dstack([image, ids])


def _shrink(image: Image, size: tuple[int, int]) -> Image:
    return bytes_of(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _noise(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> NDArray[np.float32]:
    """Smooth noise around 0, spread 1: h x w float32, bumps about `grain` pixels wide."""
    small = rng.normal(size=[max(2, round(n / grain)) for n in shape]).astype(np.float32)
    smooth = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def sky(rng: np.random.Generator, height: int, width: int) -> Image:
    """Pale blue fading into haze, with clouds; one tenth taller than the canvas."""
    shape = int(height * 1.1), width
    rise = np.clip(1 - np.arange(shape[0])[:, None, None] / (0.5 * height), 0, 1)
    clouds = sum(_noise(rng, (64, 128), grain) * grain for grain in (14, 8, 4, 2)) / 17
    cover = np.clip(clouds * 0.55 + 0.3, 0, 1)
    cover = cv2.resize(cover, shape[::-1], interpolation=cv2.INTER_CUBIC)[:, :, None]
    blue = np.array(HAZE) * (1 - rise) + np.array((234.0, 208, 184)) * rise
    white = np.array((247.0, 244, 242))
    return _with_class(blue + (white - blue) * cover * np.minimum(1, rise * 3), SKY)


class Band(NamedTuple):
    """The ground from `near` to `far` meters ahead: pixels of `step_x` by `step_z` meters."""

    near: float
    far: float
    pixels: Image
    step_x: float
    step_z: float


def ground_bands(focal: float, height: int) -> list[Band]:
    """The ground by distance, each band as fine as the canvas there, farthest first."""
    ground = _ground()
    edges = np.geomspace(1.2 * focal / (0.57 * height), GROUND, 11)
    bands = []
    for near, far in pairwise(edges):
        rows = int(np.clip(PERIOD * focal * 1.3 / (near * far), 4, ground.shape[0]))
        columns = int(np.clip(32 * focal / far, 32, ground.shape[1]))
        repeats = math.ceil((far - near) / PERIOD) + 2
        pixels = np.tile(_shrink(ground, (columns, rows)), (repeats, 1, 1))
        bands.append(Band(near, far, pixels, 32 / columns, PERIOD / rows))
    return bands[::-1]


@cache
def _ground() -> Image:
    """32 m across, `PERIOD` deep, 2 cm a pixel: asphalt, markings, kerbs and flags."""
    rng, shape = np.random.default_rng(1), (round(PERIOD * 50), 32 * 50)
    meters = np.abs(np.arange(shape[1]) / 50 - 15.99)
    gray = 92 + 4 * _noise(rng, shape, 1.5) + 2.5 * _noise(rng, shape, 40)
    gray += 7 * np.cos(2 * np.pi * (meters - LANE) / 1.7) * (meters < 2 * LANE)  # worn by wheels
    flags = 118 + 4 * _noise(rng, shape, 1.5) + 3 * _noise(rng, shape, 25)
    flags += np.kron(rng.normal(0, 5, (shape[0] // 45, shape[1] // 32)), np.ones((45, 32)))
    flags[::45] -= 30
    flags[:, ::32] -= 22
    image = np.where(meters > KERB, flags, gray)[:, :, None] + np.array((1.5, 0, -1))
    for _ in range(3):  # mended asphalt
        x, z = rng.integers(530, 1000), rng.integers(0, 700)
        image[z : z + rng.integers(60, 180), x : x + rng.integers(30, 90)] -= 7
    white, yellow = np.array((196.0, 200, 200)), np.array((70.0, 165, 180))
    wear = 0.78 + 0.1 * _noise(rng, shape, 3)[:, :, None].clip(-1.5, 1.5)
    depth = np.arange(shape[0])[:, None] / 50
    dash = (meters < 0.06) & (depth % 6 < 2.4)
    edge = (np.abs(meters - KERB + 0.3) < 0.045) | (np.abs(meters - KERB + 0.5) < 0.045)
    image = np.where(dash[:, :, None], image + (white - image) * wear, image)
    image = np.where(edge[:, None], image + (yellow - image) * wear * 0.8, image)
    stone = (meters >= KERB) & (meters < KERB + 0.2)
    image[:, stone] = (150, 152, 152) + 6 * _noise(rng, (shape[0], stone.sum()), 3)[:, :, None]
    image[:, np.abs(meters - KERB + 0.04) < 0.05] *= 0.6  # gutters
    image[:, : round(50 * (16 - KERB - 0.9))] *= 0.8  # the houses' shadow
    return _with_class(image, np.where(meters < KERB, ROAD, PAVEMENT))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class House:
    """A kind of house: its wall to the street, the windowless one at its end, its bricks; meters."""

    facade: Texture
    gable: Texture
    brick: Color
    length: float
    height: float


@cache
def stock() -> tuple[list[House], list[Texture], Texture]:
    """What streets are made of: houses, crowns of trees, a fence."""
    rng = np.random.default_rng(2)
    houses = [_house(rng, BRICKS[index % len(BRICKS)]) for index in range(12)]
    return houses, [_foliage(rng) for _ in range(4)], _fence(rng)


def _house(rng: np.random.Generator, brick: Color) -> House:
    storeys, length = int(rng.integers(2, 4)), rng.uniform(6, 10)
    gable = Texture(_wall(rng, (8, storeys * STOREY), brick), BUILDING)
    facade = Texture(_facade(rng, length, storeys, brick), BUILDING)
    height, length = (n / METER for n in facade.pixels.shape[:2])
    return House(facade=facade, gable=gable, brick=brick, length=length, height=height)


def _wall(rng: np.random.Generator, size: tuple[float, float], color: Color) -> Wall:
    """Brickwork, `size` meters wide and high."""
    shape = round(size[1] * METER), round(size[0] * METER)
    pattern = 5 * _noise(rng, shape, 2) + 5 * _noise(rng, shape, 30) + 4 * _noise(rng, shape, 90)
    pattern[::4] -= 11
    return np.asarray(pattern[:, :, None] * 0.9 + np.array(color, np.float32), np.float32)


def _facade(rng: np.random.Generator, length: float, storeys: int, color: Color) -> Wall:
    """The street side of a house: sash windows above, a shop front or a door below."""
    wall = _wall(rng, (length, storeys * STOREY), color)
    frame = (205, 210, 212) if rng.random() < 0.7 else (60, 62, 64)
    columns = max(2, round(length / 2.4))
    middles = [(column + 0.5) * length / columns for column in range(columns)]
    for floor in range(storeys - 1):
        for x in middles:
            _window(wall, rng, (x, floor * STOREY + 0.75), (1.05, 1.65), frame)
    base = (storeys - 1) * STOREY
    if rng.random() < 0.55:
        sign = rng.choice([(60, 54, 48), (52, 55, 88), (60, 72, 52), (84, 62, 48), (52, 52, 54)])
        _box(wall, (0.15, base), (length - 0.15, STOREY * storeys), sign * 0.6)
        _box(wall, (0.15, base + 0.05), (length - 0.15, base + 0.65), sign)
        for x in np.arange(length * 0.25, length * 0.7, 0.32):  # letters
            _box(wall, (x, base + 0.22), (x + 0.14, base + 0.42), (150, 156, 158))
        for x in np.arange(0.4, length - 1.2, 1.7):
            _window(wall, rng, (x + 0.75, base + 0.8), (1.5, 1.7), sign)
    else:
        for column, x in enumerate(middles):
            if column % 3 == 1:
                foot, door = base + STOREY, rng.uniform(25, 90, 3)
                _box(wall, (x - 0.6, base + 0.6), (x + 0.6, foot), frame)
                _box(wall, (x - 0.48, base + 0.75), (x + 0.48, foot), door)
            else:
                _window(wall, rng, (x, base + 0.8), (1.2, 1.5), frame)
    wall[: METER // 3] = wall[: METER // 3] * 0.4 + 90  # the gutter of the roof
    wall[METER // 3 : METER // 2] *= 0.6
    return wall


def _window(
    wall: Wall, rng: np.random.Generator, top: tuple[float, float], size: tuple[float, float],
    frame: ArrayLike,
) -> None:  # fmt: skip
    """A window with lintel and sill, given the middle of its top."""
    (x, y), (width, height) = top, size
    left, right = x - width / 2, x + width / 2
    _box(wall, (left - 0.1, y - 0.22), (right + 0.1, y), (148, 156, 160))
    _box(wall, (left - 0.15, y + height), (right + 0.15, y + height + 0.1), (160, 165, 165))
    _box(wall, (left, y), (right, y + height), frame)
    gleam = rng.uniform(0.8, 2.0)
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        pane = left + 0.07 + i * width / 2, y + 0.07 + j * height / 2
        corner = pane[0] + width / 2 - 0.1, pane[1] + height / 2 - 0.1
        _box(wall, pane, corner, np.array(GLASS) * 0.75 * gleam * (1.25 - 0.4 * j))


def _box(
    wall: Wall, start: tuple[float, float], stop: tuple[float, float], color: ArrayLike
) -> None:
    left, top, right, bottom = (max(0, round(v * METER)) for v in (*start, *stop))
    wall[top:bottom, left:right] = color


def _fence(rng: np.random.Generator) -> Texture:
    """Iron railings before a dark hedge on a low wall, 6 m x 1.7 m."""
    shape = 82, 288
    color = np.array((44, 74, 58)) + 6 * _noise(rng, shape, 2)[:, :, None]
    color[60:] = (96, 108, 116) + 6 * _noise(rng, (22, 288), 2)[:, :, None]
    for x in range(0, 288, 9):
        color[4:60, x : x + 3] = (70, 72, 70)
    color[:, ::96] = color[:, 1::96] = (128, 130, 130)
    color[3:7], color[52:56], color[58:62] = (132, 134, 132), (118, 120, 118), (142, 148, 150)
    return Texture(color, FENCE)


def _foliage(rng: np.random.Generator) -> Texture:
    """A crown: clumps of leaves, lit from above, with the sky through the gaps at its rim."""
    shape = 320, 320
    y, x = (np.mgrid[0:320, 0:320] / 320 * 2 - 1).astype(np.float32)
    clumps, leaves = _noise(rng, shape, 34), _noise(rng, shape, 5)
    inside = 0.86 - np.sqrt(x * x + (y * 0.95) ** 2) + 0.13 * clumps + 0.06 * leaves
    mask = np.where((inside > 0) & ((leaves < 1.5) | (inside > 0.3)), 255, 0).astype(np.uint8)
    light = 72 + 13 * clumps - 24 * y - 8 * x + 11 * leaves + 8 * _noise(rng, shape, 2)
    green = [(0.62, 1.0, 0.86), (0.7, 0.96, 0.94)][int(rng.integers(2))]
    return Texture(light[:, :, None] * np.array(green), TREE, mask)
