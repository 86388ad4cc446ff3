"""What DeconvNet's deconvolution part makes of a picture, layer by layer from coarse to fine, as its paper draws it."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from streamseg.evaluation.reference import network_input
from streamseg.models.deconvnet import DeconvNet
from streamseg.models.find import find_model
from streamseg.models.weights import load_model
from streamseg.study.records import Network
from streamseg.study.session import StudySession, spread
from streamseg.study.sheet import Picture, Tile, write_sheet

TILE_PX = 160
COLUMNS = 6


def draw_activations(session: StudySession, network: Network) -> list[Path]:
    """A sheet for each of some images, of which the middle square is looked at; none of another network's."""
    file = find_model(network.path)
    model = load_model(file)
    if not isinstance(model, DeconvNet):
        return []
    paths = []
    chosen = spread(session.validation, session.schedule.frames)
    for index, (source, _) in enumerate(chosen.pairs):
        square = middle_square(chosen.load(index)[0])
        x = network_input(square, file.card.input, file.card.input.size)
        with torch.inference_mode():
            found = model.activations(x)
        tiles = [Tile(caption="image", picture=square, flat=False)]
        for name, map_BCHW in found.items():
            picture = strongest_channel(map_BCHW[0].float().numpy())
            tiles.append(Tile(caption=name, picture=picture, flat=min(picture.shape[:2]) < TILE_PX))
        rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
        padded = [[*row, *[None] * (COLUMNS - len(row))] for row in rows]
        paths.append(session.out / "proposals" / f"activations_{source.stem}.png")
        write_sheet(paths[-1], padded, TILE_PX)
    return paths


def middle_square(image: Picture) -> Picture:
    """As high and wide as the shorter side."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def strongest_channel(map_CHW: NDArray[np.float32]) -> Picture:
    """The channel with the greatest mean, dark blue where it is 0 and yellow where it is greatest."""
    channel = map_CHW[int(map_CHW.mean((1, 2)).argmax())].clip(0)
    scaled = (255 * channel / max(float(channel.max()), 1e-6)).round().astype(np.uint8)
    return np.asarray(cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS), np.uint8)
