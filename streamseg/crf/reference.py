"""Mean field by its definition: every pair of pixels, float64. For tests and small pictures: N x N numbers.

Krähenbühl and Koltun (2011), algorithm 1, with Potts compatibility:

    Q <- softmax(log p + sum over terms of weight * K Q)

(with Potts, what the others pay for another class is a constant less what they grant for the same.)

Note [Normalisation]: K_ij = n_i k(f_i - f_j) n_j, without i = j, n_i = 1 / sqrt(sum over j of k(f_i - f_j)), with
j = i, for both terms. This is the symmetric normalisation of Krähenbühl and Koltun (2013), pydensecrf's default: a
pixel's neighbours then weigh about 1 in all, however many they are, so that weights mean the same for every picture
size and texture, and K stays symmetric, which mean field's convergence rests on. Leaving i out of its own messages is
the 2011 paper's equation; pydensecrf leaves it in, where it strengthens whatever a lonely pixel believes already. In
the normaliser it stays: it bounds n by 1 for pixels that have no neighbours. meanfield-matlab, which DeconvNet's code
calls, offers the same choices and has changed its default over time, so what DeconvNet normalised by is not known.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamseg.crf.parameters import CRF

LEAST_PROBABILITY = 1e-9
"""What a network holds to be impossible is thought of as this."""


def refined_exactly(
    probabilities_HWC: NDArray[np.float32], image_HW3: NDArray[np.uint8], crf: CRF
) -> NDArray[np.float64]:
    """What `mean_field.refined` approximates: H x W x C, of sum 1."""
    height, width, classes = probabilities_HWC.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(np.float64)
    colors = image_HW3.reshape(-1, 3).T / crf.bilateral_srgb
    gaussian = _normalised([x / crf.gaussian_sxy, y / crf.gaussian_sxy])
    bilateral = _normalised([x / crf.bilateral_sxy, y / crf.bilateral_sxy, *colors])
    kernel_NN = crf.gaussian_weight * gaussian + crf.bilateral_weight * bilateral
    probabilities_NC = probabilities_HWC.reshape(-1, classes).astype(np.float64)
    unary_NC = np.log(np.maximum(probabilities_NC, LEAST_PROBABILITY))
    found_NC = _softmax(unary_NC)
    for _ in range(crf.iterations):
        found_NC = _softmax(unary_NC + kernel_NN @ found_NC)
    return found_NC.reshape(height, width, classes)


def _normalised(features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """N x N, see Note [Normalisation]."""
    squared = sum((feature[:, None] - feature) ** 2 for feature in features)
    kernel_NN: NDArray[np.float64] = np.exp(-0.5 * np.asarray(squared))
    factor_N = 1 / np.sqrt(kernel_NN.sum(1))
    np.fill_diagonal(kernel_NN, 0)
    normalised_NN: NDArray[np.float64] = factor_N[:, None] * kernel_NN * factor_N
    return normalised_NN


def _softmax(scores_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    powers_NC: NDArray[np.float64] = np.exp(scores_NC - scores_NC.max(1, keepdims=True))
    shares_NC: NDArray[np.float64] = powers_NC / powers_NC.sum(1, keepdims=True)
    return shares_NC
