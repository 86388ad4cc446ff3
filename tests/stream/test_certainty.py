import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from streamseg.errors import ModelError
from streamseg.frames import Logits
from streamseg.stream.certainty import certainty_map
from streamseg.stream.paint import label_map


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("nodes", "size"),
    [((5, 7), (33, 49)), ((5, 7), (5, 7)), ((9, 6), (4, 5)), ((1, 4), (8, 9)), ((4, 1), (3, 1))],
)
def test_it_is_the_softmax_of_interpolated_logits(
    rng: np.random.Generator, nodes: tuple[int, int], size: tuple[int, int], align_corners: bool
) -> None:
    scores = rng.normal(0, 4, (*nodes, 6)).astype(np.float32)
    logits = Logits(scores=scores, align_corners=align_corners)
    labels = label_map(logits, size)
    x = torch.from_numpy(scores).double().permute(2, 0, 1)[None]
    probability = interpolate(x, size, mode="bilinear", align_corners=align_corners).softmax(1)[0]
    found = certainty_map(logits, labels)
    assert (found.dtype, found.shape) == (np.float32, size)
    np.testing.assert_allclose(found, probability.amax(0).numpy(), atol=1e-5)


def test_great_scores_do_not_overflow() -> None:
    logits = Logits(scores=np.float32([[[3e4, 0, -3e4]], [[0, 0, 0]]]), align_corners=True)
    labels = label_map(logits, (2, 1))
    np.testing.assert_allclose(certainty_map(logits, labels), [[1], [1 / 3]], rtol=1e-6)


@pytest.mark.parametrize("node", [[0, 1, 0], [0.2, 0.3, 0.5]])
def test_class_ids_and_probabilities_are_refused(node: list[float]) -> None:
    logits = Logits(scores=np.float32([[node, node]]), align_corners=True)
    with pytest.raises(ModelError, match="raw scores, this one gives class ids or probabilities"):
        certainty_map(logits, label_map(logits, (2, 2)))
