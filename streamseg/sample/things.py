"""Dice come in; how to draw one thing goes out: house, garden, tree, lamp, sign, car, people.

Each maker rolls the dice once and returns a `Draw` for what came out.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from streamseg.sample.painter import Painter
from streamseg.sample.textures import House, Texture
from streamseg.sample.world import (
    BICYCLIST,
    BUILDING,
    CAR,
    GLASS,
    NEAR,
    PEDESTRIAN,
    POLE,
    SIGN,
    TREE,
    Color,
    Points,
)

Draw = Callable[[Painter, float, float, float], None]
"""Paints one thing, given its x and z relative to the camera (meters) and the time (seconds)."""

TYRE, STEEL, BARK = (24, 24, 24), (96, 96, 92), (58, 68, 76)
SKIN, HAIR = (110, 136, 172), (32, 40, 52)
CLOTHES = (
    (38, 36, 38), (70, 48, 34), (44, 44, 92), (60, 66, 62), (84, 84, 80), (40, 60, 40),
    (110, 120, 128),
)  # fmt: skip
JACKETS = (60, 130, 136), (56, 56, 110), (90, 70, 50), (60, 60, 60)
HELMETS = (200, 200, 200), (50, 50, 60), (60, 60, 180)
PAINTS = (
    (62, 58, 56), (150, 150, 146), (48, 40, 34), (44, 44, 130), (120, 80, 50), (186, 188, 188),
    (70, 84, 60),
)  # fmt: skip
PROFILE = (
    (0.0, 0.35, 0.8), (0.02, 0.88, 0.84), (0.42, 1.38, 0.64), (0.9, 1.46, 0.62),
    (2.1, 1.42, 0.62), (2.95, 0.98, 0.8), (3.85, 0.8, 0.8), (4.0, 0.35, 0.78),
)  # fmt: skip
"""A hatchback from its tail over the roof to its nose: z, y and half its width there. Meters."""


def building(rng: np.random.Generator, side: int, house: House) -> Draw:
    """A terraced house, on the left (`side` -1) or right (+1). The sun stands to the left."""
    length, height, brick = house.length, house.height, house.brick
    light, reach, ridge = 1.12 if side > 0 else 0.86, 4.0 * side, height + rng.uniform(3.2, 4.2)
    slate = _shaded(_pick(rng, [(86, 80, 78), (64, 72, 98)]), light)
    chimney = rng.uniform(0.2, 0.7) * length
    gable = [(0, 0), (2 * reach, 0), (2 * reach, height), (reach, ridge), (0, height)]

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        near, far, middle, down = max(z, NEAR), z + length, x + reach, (0, -height, 0)
        painter.fill(_upright(x, near, gable), _shaded(brick, 0.72), BUILDING)
        if 1 < z < 80:
            painter.texture(house.gable, (x, height, z), (2 * reach, 0, 0), down, 0.72)
        roof = [(x, height, near), (middle, ridge, near), (middle, ridge, far), (x, height, far)]
        painter.fill(roof, slate, BUILDING)
        if z > 1:
            for half, low, high in ((0.5, ridge - 0.6, ridge + 1), (0.3, ridge + 1, ridge + 1.4)):
                stack = _rect(middle, z + chimney, -half, half, low, high)
                painter.fill(stack, _shaded(brick, 0.6 + 0.5 * half), BUILDING)
        painter.texture(house.facade, (x, height, far), (0, 0, -length), down, light)

    return draw


def garden(rng: np.random.Generator, side: int, fence: Texture, crowns: list[Texture]) -> Draw:
    """Bushes and trees behind a fence, 12 m long."""
    plants = [(3.0, 10.0 - 3 * step, 0.0, 2.6, 2.4) for step in range(4)]  # bushes
    for along in rng.uniform(0.5, 11, 3):
        height = rng.uniform(5, 8)
        plants.append((rng.uniform(1.2, 4), along, height * 0.3, height * 0.4, height * 0.75))
    plants.sort(key=lambda plant: -plant[1])
    picks = rng.integers(0, len(crowns), len(plants))

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        for pick, (aside, along, low, radius, high) in zip(picks, plants, strict=True):
            foot, depth = x + side * aside, z + along
            if depth > 1:
                painter.line([(foot, 0, depth), (foot, low + 1, depth)], 0.3, BARK, TREE)
                light = round(0.8 + 0.04 * aside, 1)
                _crown(painter, crowns[pick], (foot, low, depth), radius, high, light)
        for start in (12.0, 6.0):
            light = 1.1 if side > 0 else 0.9
            painter.texture(fence, (x, 1.7, z + start), (0, 0, -6), (0, -1.7, 0), light)

    return draw


def _crown(
    painter: Painter, crown: Texture, low: tuple[float, float, float], radius: float, height: float,
    light: float,
) -> None:  # fmt: skip
    """Foliage above the point `low`."""
    corner = low[0] - radius, low[1] + height, low[2]
    painter.texture(crown, corner, (2 * radius, 0, 0), (0, -height, 0), light)


def street_tree(rng: np.random.Generator, crown: Texture) -> Draw:
    height, radius = rng.uniform(5.5, 8), rng.uniform(1.5, 2.2)
    trunk = [(-0.16, 0), (0.16, 0), (0.1, height * 0.6), (-0.1, height * 0.6)]
    lit = [(-0.1, 0), (-0.05, height * 0.6)]
    boughs = [[(0, height * 0.4), (n * radius, height * 0.66)] for n in (-0.6, 0.55)]

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        painter.fill(_upright(x, z, trunk), BARK, TREE)
        painter.line(_upright(x, z, lit), 0.07, _shaded(BARK, 1.3), TREE)
        for bough in boughs:
            painter.line(_upright(x, z, bough), 0.1, BARK, TREE)
        _crown(painter, crown, (x, height * 0.36, z), radius, height * 0.7, 1.0)

    return draw


def lamp(rng: np.random.Generator, side: int) -> Draw:
    height = rng.uniform(6.5, 8)
    base, post = [(0, 0), (0, 1.2)], [(0, 1), (0, height), (-1.3 * side, height + 0.3)]
    lantern = [(-1.3 * side, height + 0.28), (-1.8 * side, height + 0.3)]

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        painter.line(_upright(x, z, base), 0.2, STEEL, POLE)
        painter.line(_upright(x, z, post), 0.11, STEEL, POLE)
        painter.line(_upright(x, z, lantern), 0.16, (150, 152, 150), POLE)

    return draw


def sign(rng: np.random.Generator) -> Draw:
    """A traffic sign: round, triangular or a panel; an order in blue or a warning in red."""
    kind, height, blue = int(rng.integers(3)), rng.uniform(2.3, 2.8), rng.random() < 0.5
    radius, turns = (
        (0.36, np.linspace(0, 2, 17)[:-1]),
        (0.48, np.arange(0.5, 2.5, 2 / 3)),
        (0.6, np.arange(0.25, 2.25, 0.5)),
    )[kind]
    shape = radius * np.stack([np.cos(np.pi * turns), np.sin(np.pi * turns)], axis=1)
    top = np.array((0, height))
    rim, face, mark = ((220, 220, 215), (150, 80, 20), (230, 230, 230))
    if not blue:
        rim, face, mark = ((40, 35, 190), (225, 228, 228), (40, 40, 40))

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        painter.line(_upright(x, z, [(0, 0), (0, height)]), 0.08, STEEL, POLE)
        painter.fill(_upright(x, z, shape + top), rim, SIGN)
        painter.fill(_upright(x, z, shape * 0.76 + top), face, SIGN)
        painter.fill(_rect(x, z, -0.05, 0.05, height - 0.14, height + 0.16), mark, SIGN)

    return draw


def _body(
    painter: Painter, x: float, z: float, size: float, coat: Color, cap: Color, class_id: int
) -> None:
    """Trunk and head of a person, `size` times 1.72 m tall."""
    torso = [(-0.17, 0.87), (0.17, 0.87), (0.22, 1.4), (0.1, 1.48), (-0.1, 1.48), (-0.22, 1.4)]
    lit = [(-0.17, 0.87), (-0.05, 0.87), (-0.06, 1.46), (-0.22, 1.4)]
    painter.fill(_upright(x, z, size * np.array(torso)), coat, class_id)
    painter.fill(_upright(x, z, size * np.array(lit)), _shaded(coat, 1.25), class_id)
    chin = 1.56 * size
    painter.line(_upright(x, z, [(0, chin), (0, chin + 0.07)]), 0.2, SKIN, class_id)
    painter.line(_upright(x, z, [(-0.01, chin + 0.08), (0.01, chin + 0.1)]), 0.21, cap, class_id)


def pedestrian(rng: np.random.Generator) -> Draw:
    coat, trousers = (CLOTHES[i] for i in rng.integers(0, len(CLOTHES), 2))
    size, pace, phase = rng.uniform(0.92, 1.06), rng.uniform(5.5, 7), rng.uniform(0, 6)

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        for s, light in ((-1, 0.75), (1, 0.95)):
            swing = s * math.sin(pace * time + phase)
            knee = 0.08 * s + 0.1 * swing, 0.48 + 0.06 * max(0, swing)
            foot = 0.08 * s + 0.2 * swing, 0.05 + 0.06 * max(0, -swing)
            leg = [(0.07 * s, 0.9), knee, foot]
            arm = [(0.2 * s, 1.38), (0.27 * s, 1.1), (0.24 * s - 0.12 * swing, 0.85)]
            for limb, width, cloth in ((leg, 0.15, trousers), (arm, 0.11, coat)):
                points = _upright(x, z, size * np.array(limb))
                painter.line(points, width, _shaded(cloth, light), PEDESTRIAN)
        _body(painter, x, z, size, coat, HAIR, PEDESTRIAN)

    return draw


def cyclist(rng: np.random.Generator, away: bool) -> Draw:
    """Somebody on a bicycle 1.75 m long, seen from behind (`away`) or from ahead."""
    coat, cap, phase = _pick(rng, JACKETS), _pick(rng, HELMETS), rng.uniform(0, 6)
    saddle, bars = (0.55, 1.39) if away else (1.2, 0.34)
    frame = [(0, 0.95, saddle), (0, 0.3, 0.87), (0, 0.34, bars), (0, 1.0, bars), (0, 0.95, saddle)]

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        for hub in (1.39, 0.34):
            painter.line(_ring(x, 0.34, z + hub, 0.34, 16), 0.05, (34, 34, 36), BICYCLIST)
        painter.line(np.array((x, 0, z)) + frame, 0.045, (50, 50, 120), BICYCLIST)
        painter.line(_upright(x, z + bars, [(-0.26, 1.02), (0.26, 1.02)]), 0.04, HAIR, BICYCLIST)
        for s in (-1, 1):
            lift = math.sin(5.5 * time + phase + s * np.pi / 2)
            knee, foot = (0.13 * s, 0.68 + 0.14 * lift), (0.11 * s, 0.3 + 0.17 * lift)
            leg = [(0.09 * s, 0.98), knee, foot]
            arm = [(0.19 * s, 1.42), (0.29 * s, 1.2), (0.24 * s, 1.04)]
            painter.line(_upright(x, z + 0.8, leg), 0.14, (44, 40, 38), BICYCLIST)
            painter.line(_upright(x, z + 0.8, arm), 0.1, _shaded(coat, 0.85), BICYCLIST)
        _body(painter, x, z + 0.8, 1.03, coat, cap, BICYCLIST)

    return draw


def car(rng: np.random.Generator, away: bool) -> Draw:
    """A hatchback 4 m long, seen from behind (`away`) or from ahead."""
    paint = _pick(rng, PAINTS)
    outline = np.array(PROFILE if away else [(4 - z, y, w) for z, y, w in PROFILE[::-1]])
    glass = (1, 4) if away else (2, 5)
    lamps, plate = ((40, 36, 170), (60, 190, 205)) if away else ((228, 232, 232), (215, 218, 218))

    def draw(painter: Painter, x: float, z: float, time: float) -> None:
        for left in (-0.8, 0.6):
            painter.fill(_rect(x, z + 0.5, left, left + 0.2, 0.0, 0.5), TYRE, CAR)
        painter.fill(_rect(x, z + 0.3, -0.74, 0.74, 0.2, 0.5), TYRE, CAR)
        if abs(x) > 0.84:
            _flank(painter, x, z, outline, paint)
        for index, (start, end) in enumerate(pairwise(outline)):
            (deep, rise, _), level = end - start, painter.eye - start[1]
            if rise * (z + start[0]) + deep * level <= 0:  # faces away from the camera
                continue
            corners = (start, -1), (start, 1), (end, 1), (end, -1)
            panel = np.array([(x + s * w, y, z + d) for (d, y, w), s in corners])
            painter.fill(panel, _shaded(paint, 0.8 if deep < 0.2 else 1.1), CAR)
            if index in glass:
                painter.fill(_inset(panel, 0.13), GLASS, CAR)
        painter.fill(_rect(x, z, -0.78, 0.78, 0.36, 0.5), _shaded(paint, 0.55), CAR)  # bumper
        painter.fill(_rect(x, z, -0.26, 0.26, 0.56, 0.67), plate, CAR)
        for left in (-0.79, 0.53):
            painter.fill(_rect(x, z, left, left + 0.26, 0.66, 0.84), lamps, CAR)

    return draw


def _flank(painter: Painter, x: float, z: float, outline: Points, paint: Color) -> None:
    """The side of a car that the camera sees: body, windows, wheels."""
    inward = -math.copysign(1, x)
    depth, height, half_width = outline.T
    side = np.stack([x + inward * half_width, height, z + depth], axis=1)
    painter.fill(side, _shaded(paint, 0.9), CAR, convex=False)
    painter.fill(_inset(side[height > 0.87], 0.2), GLASS, CAR)
    for along in (3.25, 0.75):
        for radius, color in ((0.31, TYRE), (0.19, (140, 140, 138))):
            ring = _ring(x + inward * 0.82, 0.31, z + along, radius, 14)
            painter.fill(ring, color, CAR)


def _pick(rng: np.random.Generator, colors: tuple[Color, ...] | list[Color]) -> Color:
    return colors[int(rng.integers(len(colors)))]


def _shaded(color: Color, light: float) -> Color:
    b, g, r = color
    return b * light, g * light, r * light


def _upright(x: float, z: float, corners: ArrayLike) -> Points:
    """Points (u, v) of an upright plane that faces the camera, as (x + u, v, z)."""
    u, v = np.asarray(corners, np.float64).T
    return np.stack([x + u, v, np.full(len(u), z)], axis=1)


def _rect(x: float, z: float, left: float, right: float, low: float, high: float) -> Points:
    return _upright(x, z, ((left, low), (right, low), (right, high), (left, high)))


def _ring(x: float, y: float, z: float, radius: float, sides: int) -> Points:
    """A wheel seen from the side: a closed line around (x, y, z)."""
    turns = np.linspace(0, 2 * np.pi, sides + 1)
    circle = np.stack([0 * turns, np.sin(turns), np.cos(turns)], axis=1)
    return np.array((x, y, z)) + radius * circle


def _inset(polygon: Points, share: float) -> Points:
    """A polygon drawn towards its middle."""
    middle: Points = polygon.mean(0)
    return polygon + (middle - polygon) * share
