"""A seed comes in; a street that never was goes out: a forward-driving camera's video and exact labels.

    street.py (what stands where) ──things──▶ painter.py (far to near) ──canvas──▶ SampleFrame
      things.py draws each thing     textures.py: walls, ground, leaves, sky     render.py
                                                          write.py ──▶ a video   dataset.py ──▶ a training set

The canvas has four channels, blue, green, red and class id, and twice the frame's size. Every fill,
line and texture writes all four at once, so image and label map cannot disagree. `cv2.pyrDown` then
centers frame pixel (i, j) on canvas sample (2i, 2j), the one whose class is taken.

All that moves is a function of the time, so the frame rate does not change the street. The seed
decides what stands where; bricks, leaves and asphalt are the same everywhere, made once.
"""

from streamseg.sample.dataset import write_rendered
from streamseg.sample.render import SampleFrame, render_street
from streamseg.sample.write import write_sample

__all__ = ["SampleFrame", "render_street", "write_rendered", "write_sample"]
