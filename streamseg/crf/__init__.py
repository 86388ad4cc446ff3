"""Fully connected conditional random field (Krähenbühl and Koltun 2011), the post-step of many papers' networks.

    probabilities, picture ──mean field──▶ probabilities that follow the picture's edges

parameters.py   `CRF`: how far and how strongly pixels draw each other   mean_field.py   `refined`: the iterations
gaussian.py     messages by nearness alone: separable, exact             bilateral.py    by nearness and colour
pivots.py       few pixels that stand for a tile of them                 pairs.py        sums over all near pairs
reference.py    the same by its definition, for tests and small pictures

Knows no network and no video.
"""
