"""Polygons, lines and textures in meters come in; a canvas of colors and classes goes out.

A pinhole camera that sways as it drives, and haze that grows with the distance. Points are (x, y, z)
in meters, x and z relative to the camera.
"""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamseg.sample.textures import Texture, ground_bands, sky
from streamseg.sample.world import (
    BUILDING,
    GROUND,
    HAZE,
    LANE,
    NEAR,
    PERIOD,
    ROAD,
    SPEED,
    Color,
    Image,
    Points,
    bytes_of,
)


class Painter:
    """The canvas and the camera.

    Args:
        size: height and width of the frame.

    Attributes:
        canvas: 2 H x 2 W x 4 uint8: blue, green, red, class id.
        x, eye: of the camera, meters from the middle of the road and above the ground.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.height, self.width = 2 * size[0], 2 * size[1]
        self.canvas: Image = np.zeros((self.height, self.width, 4), np.uint8)
        self.focal = 0.85 * self.width
        self.x, self.eye, self.horizon = -LANE, 1.3, 0.45 * self.height
        self.sky = sky(rng, self.height, self.width)
        self.bands = ground_bands(self.focal, self.height)
        edges = np.repeat(np.linspace(-150, 150, 61), 2)
        roofs = np.concatenate([[0], rng.uniform(4, 9, 60).repeat(2), [0]])
        self.skyline = np.stack([edges, roofs, np.full(len(edges), 165.0)], axis=1)

    def start(self, time: float) -> None:
        """Start a frame: move the camera to where it is at `time`; paint sky, skyline and ground."""
        self.x = -LANE + 0.12 * math.sin(0.7 * time)
        self.eye = 1.3 + 0.015 * math.sin(9.1 * time) + 0.01 * math.sin(5.3 * time)
        bob = 0.0012 * math.sin(7.3 * time) + 0.0008 * math.sin(12.7 * time)
        self.horizon = self.height * (0.45 + bob)
        top = int(self.height * 0.02 * (1 + math.sin(0.7 * time) / 2))
        self.canvas[:] = self.sky[top : top + self.height]
        self.fill(self.skyline, (105, 100, 98), BUILDING, convex=False)
        self._ground(SPEED * time)

    def fill(self, points: ArrayLike, color: Color, class_id: int, *, convex: bool = True) -> None:
        """Fill the part of a polygon that is ahead of the camera."""
        world = _clip_near(np.asarray(points, np.float64))
        if not len(world):
            return
        corners, paint = _fixed(self._project(world)), _paint(color, class_id, world)
        if convex:
            cv2.fillConvexPoly(self.canvas, corners, paint, cv2.LINE_8, 4)
        else:
            cv2.fillPoly(self.canvas, [corners], paint, cv2.LINE_8, 4)

    def line(self, points: ArrayLike, width: float, color: Color, class_id: int) -> None:
        """Draw an open line, `width` meters thick and at least one frame pixel, with round ends."""
        world = np.asarray(points, np.float64)
        if world[:, 2].min() < NEAR:
            return
        thickness = max(2, round(width * self.focal / world[0, 2]))
        corners, paint = _fixed(self._project(world)), _paint(color, class_id, world)
        cv2.polylines(self.canvas, [corners], False, paint, thickness, cv2.LINE_8, 4)

    def texture(
        self, texture: Texture, corner: ArrayLike, across: ArrayLike, down: ArrayLike,
        light: float = 1.0,
    ) -> None:  # fmt: skip
        """Paint a texture on the parallelogram at `corner` (its top left) with these two sides.

        `across` lies along x (the texture faces the camera) or along z (beside the road).
        """
        corner, across, down = (np.array(v, np.float64) for v in (corner, across, down))
        outline = _clip_near(
            np.array([corner, corner + across, corner + across + down, corner + down])
        )
        if not len(outline):
            return
        pixels, depth = self._project(outline), outline[:, 2]
        left, top, region = self._region(pixels)
        if not region.size:
            return
        scale = self.focal / math.sqrt(depth.min() * depth.max())
        length = abs(across[0] or across[2] / depth.mean() * corner[0])
        source, mask = texture.shrunk(length * scale, abs(down[1]) * scale)
        sides = across / source.shape[1], down / source.shape[0]
        matrix = self._homography(corner, *sides, left, top)
        extent = region.shape[1], region.shape[0]
        tinted = cv2.LUT(source, _tint(depth.mean(), light))
        warped = cv2.warpPerspective(tinted, matrix, extent, borderMode=cv2.BORDER_REPLICATE)
        if mask is None:
            cut: Image = np.zeros(region.shape[:2], np.uint8)
            cv2.fillConvexPoly(cut, _fixed(pixels - (left, top)), 255, cv2.LINE_8, 4)
        else:
            cut = bytes_of(cv2.warpPerspective(mask, matrix, extent)) & np.uint8(128)
        cv2.copyTo(warped, cut, region)

    def shade(self, x: float, z: float, half_width: float, length: float) -> None:
        """Darken the ground under a thing, softly."""
        near, far = z - 0.1, z + length + 0.1
        if near < 1 or z > 90:
            return
        left_x, right_x = x - half_width, x + half_width
        corners = [(left_x, 0, near), (right_x, 0, near), (right_x, 0, far), (left_x, 0, far)]
        pixels = self._project(np.array(corners))
        soft = max(1, int(0.12 * self.focal / z))
        left, top, region = self._region(pixels, soft)
        if not region.size:
            return
        light = np.full((*region.shape[:2], 4), 255, np.uint8)
        cv2.fillConvexPoly(light, _fixed(pixels - (left, top)), (95, 95, 95, 255), cv2.LINE_8, 4)
        cv2.multiply(region, cv2.blur(light, (2 * soft + 1, soft)), region, 1 / 255)

    def _project(self, points: Points) -> Points:
        """N x 3 meters to N x 2 canvas samples."""
        scale = self.focal / points[:, 2]
        columns = self.width / 2 + points[:, 0] * scale
        rows = self.horizon - (points[:, 1] - self.eye) * scale
        return np.stack([columns, rows], axis=1)

    def _homography(
        self, corner: Points, across: Points, down: Points, left: int, top: int
    ) -> Points:
        """Texture pixels to canvas samples from (left, top) on; pixel centers are at halves."""
        origin = corner + (across + down) / 2 - (0, self.eye, 0)
        from_left, from_top = self.width / 2 - left, self.horizon - top
        camera = np.array([[self.focal, 0, from_left], [0, -self.focal, from_top], [0, 0, 1]])
        return camera @ np.stack([across, down, origin], axis=1)

    def _region(self, pixels: Points, margin: int = 0) -> tuple[int, int, Image]:
        """The box of the canvas around a polygon, with its left and top."""
        left, top = (int(max(0, n - margin)) for n in np.floor(pixels.min(0)))
        right, bottom = (int(max(0, n + 1 + margin)) for n in np.ceil(pixels.max(0)))
        return left, top, self.canvas[top:bottom, left:right]

    def _ground(self, traveled: float) -> None:
        """Paint road and pavements, band by band, and the haze that lies over them."""
        first, reach = math.floor(self.horizon), self.focal * self.eye
        self.canvas[first : first + 2 + int(reach / GROUND)] = (*HAZE, ROAD)
        for band in self.bands:
            top = round(self.horizon + reach / band.far)
            region = self.canvas[top : round(self.horizon + reach / band.near)]
            if not region.size:
                continue
            start = band.near - (traveled + band.near) % PERIOD
            corner = np.array([-16 - self.x, 0, start])
            steps = np.array([band.step_x, 0, 0]), np.array([0, 0, band.step_z])
            matrix = self._homography(corner, *steps, 0, top)
            extent = region.shape[1], region.shape[0]
            cv2.warpPerspective(
                band.pixels, matrix, extent, region, borderMode=cv2.BORDER_REPLICATE
            )
        for row in range(first, min(first + int(reach / 15), self.height)):
            line = self.canvas[row : row + 1]
            cv2.LUT(line, _tint(reach / max(row + 0.5 - self.horizon, 0.1)), line)


def _haze(z: float) -> float:
    """The share of haze in the color of what is z meters away."""
    return 1 - math.exp(-((z / 100) ** 2))


def _paint(color: Color, class_id: int, world: Points) -> tuple[float, ...]:
    """The four channels of a thing as far away as the first of these points."""
    haze = _haze(world[0, 2])
    mixed = (own * (1 - haze) + far * haze for own, far in zip(color, HAZE, strict=True))
    return *mixed, class_id


def _tint(z: float, light: float = 1.0) -> Image:
    """A table for `cv2.LUT` that lights and hazes colors and keeps classes."""
    return _table(round(_haze(z) * 256), light)


@cache
def _table(haze_256: int, light: float) -> Image:
    levels, haze = np.arange(256.0), haze_256 / 256
    colors = [levels * light * (1 - haze) + channel * haze + 0.5 for channel in HAZE]
    return bytes_of(np.stack([*colors, levels], axis=1))[None]


def _fixed(pixels: Points) -> NDArray[np.int32]:
    """Canvas samples in the 1/16ths that cv2 draws with."""
    return np.rint(pixels * 16).astype(np.int32)


def _clip_near(points: Points) -> Points:
    """The part of a polygon that is ahead of the camera."""
    if points[:, 2].min() >= NEAR:
        return points
    kept = []
    for here, following in zip(points, np.roll(points, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (following[2] >= NEAR):
            kept.append(here + (following - here) * (NEAR - here[2]) / (following[2] - here[2]))
    return np.array(kept).reshape(-1, 3)
