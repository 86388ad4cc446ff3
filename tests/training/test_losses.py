import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from streamseg.labels import IGNORE
from streamseg.training.losses import (
    Distillation,
    Hardest,
    cascade_label_guidance,
    class_weights,
    nearest_labels,
    only_hardest,
    soft_jaccard,
    soft_label_loss,
)


def random_labels(rng: np.random.Generator, *shape: int, num_classes: int = 5) -> Tensor:
    """About a fifth of the pixels unlabelled."""
    label = rng.integers(0, num_classes, shape)
    label[rng.random(shape) < 0.2] = IGNORE
    return torch.from_numpy(label)


def random_logits(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(0, 2, shape).astype(np.float32))


def numpy_softmax(logits: Tensor) -> np.ndarray:
    x = logits.double().numpy()
    x = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(x / x.sum(1, keepdims=True))


class TestNearestLabels:
    @pytest.mark.parametrize("stride", [4, 8, 16])
    @pytest.mark.parametrize(("height", "width"), [(33, 65), (97, 129), (385, 513)])
    def test_equals_slicing_on_grids_of_32k_plus_1(
        self, rng: np.random.Generator, stride: int, height: int, width: int
    ) -> None:
        label = random_labels(rng, 2, height, width)
        size = ((height - 1) // stride + 1, (width - 1) // stride + 1)
        assert torch.equal(nearest_labels(label, size), label[:, ::stride, ::stride])

    def test_takes_the_nearest_pixel_on_other_grids(self) -> None:
        label = torch.arange(10).view(1, 1, 10)
        # Positions 0, 2.25, 4.5, 6.75, 9; a tie goes to the even pixel.
        assert nearest_labels(label, (1, 5)).tolist() == [[[0, 2, 4, 7, 9]]]

    def test_own_size_changes_nothing(self, rng: np.random.Generator) -> None:
        label = random_labels(rng, 2, 7, 9)
        assert torch.equal(nearest_labels(label, (7, 9)), label)

    def test_invents_no_class(self) -> None:
        label = torch.tensor([0, 10, IGNORE]).repeat(1, 50, 7)
        assert set(nearest_labels(label, (13, 5)).unique().tolist()) <= {0, 10, IGNORE}

    def test_one_row_takes_the_first(self) -> None:
        label = torch.arange(12).view(1, 3, 4)
        assert nearest_labels(label, (1, 4)).tolist() == [[[0, 1, 2, 3]]]


class TestCascadeLabelGuidance:
    STRIDES = (4, 8, 16)

    def branches(self, rng: np.random.Generator) -> list[Tensor]:
        return [random_logits(rng, 2, 5, 64 // s + 1, 96 // s + 1) for s in self.STRIDES]

    def by_hand(
        self, logits: list[Tensor], label: Tensor, weights: tuple[float, ...], per_class: np.ndarray
    ) -> float:
        """Weighted mean of -log p(truth) per branch, pixel by pixel, in float64."""
        total = 0.0
        for branch, weight, stride in zip(logits, weights, self.STRIDES, strict=True):
            probability = numpy_softmax(branch)
            truth = label.numpy()[:, ::stride, ::stride]
            loss = mass = 0.0
            for b, y, x in np.ndindex(truth.shape):
                if truth[b, y, x] != IGNORE:
                    importance = per_class[truth[b, y, x]]
                    loss -= importance * math.log(probability[b, truth[b, y, x], y, x])
                    mass += importance
            total += weight * loss / mass
        return total

    @pytest.mark.parametrize("weighted", [False, True], ids=["classes alike", "class weights"])
    def test_equals_a_sum_by_hand(self, rng: np.random.Generator, weighted: bool) -> None:
        logits = self.branches(rng)
        label = random_labels(rng, 2, 65, 97)
        assert (label == IGNORE).any()
        per_class = rng.uniform(0.2, 3, 5) if weighted else np.ones(5)
        given = torch.from_numpy(per_class).float() if weighted else None
        loss = cascade_label_guidance(logits, label, (1.0, 0.4, 0.16), given)
        expected = self.by_hand(logits, label, (1.0, 0.4, 0.16), per_class)
        assert float(loss) == pytest.approx(expected, rel=1e-5)

    def test_a_wholly_unlabelled_batch_costs_nothing(self, rng: np.random.Generator) -> None:
        logits = [branch.requires_grad_() for branch in self.branches(rng)]
        loss = cascade_label_guidance(logits, torch.full((2, 65, 97), IGNORE), (1, 0.4, 0.4))
        assert float(loss.detach()) == 0
        loss.backward()
        assert all(branch.grad is not None and not branch.grad.any() for branch in logits)

    def test_a_branch_that_sees_no_labelled_pixel_adds_nothing(
        self, rng: np.random.Generator
    ) -> None:
        label = torch.full((2, 65, 97), IGNORE)
        label[:, 4, 4] = 2  # on the grid of stride 4 only
        logits = self.branches(rng)
        loss = cascade_label_guidance(logits, label, (1, 0.4, 0.4))
        assert float(loss) == pytest.approx(
            float(-F.log_softmax(logits[0][:, :, 1, 1], 1)[:, 2].mean()), rel=1e-6
        )

    def test_half_precision_logits_are_summed_in_float32(self, rng: np.random.Generator) -> None:
        logits = [branch.bfloat16() for branch in self.branches(rng)]
        label = random_labels(rng, 2, 65, 97)
        loss = cascade_label_guidance(logits, label, (1, 0.4, 0.4))
        assert loss.dtype == torch.float32
        expected = self.by_hand(logits, label, (1, 0.4, 0.4), np.ones(5))
        assert float(loss) == pytest.approx(expected, rel=1e-5)

    def test_refuses_a_weight_too_few(self, rng: np.random.Generator) -> None:
        with pytest.raises(ValueError, match=r"one weight per branch \(3\), got 2"):
            cascade_label_guidance(self.branches(rng), random_labels(rng, 2, 65, 97), (1, 0.4))


class TestOnlyHardest:
    def logits(self, *truth_probability: float) -> Tensor:
        """1 x 2 x 1 x N: class 0 has these probabilities."""
        p = torch.tensor(truth_probability, dtype=torch.float64)
        return torch.stack([p.log(), (1 - p).log()]).view(1, 2, 1, -1).float()

    def test_pixels_below_the_probability_stay(self) -> None:
        logits = self.logits(0.9, 0.6, 0.1, 0.69, 0.8)
        kept = only_hardest(logits, torch.zeros(1, 1, 5, dtype=torch.long), Hardest(share=0.2))
        assert kept.tolist() == [[[IGNORE, 0, 0, 0, IGNORE]]]

    def test_at_least_the_hardest_share_stays(self) -> None:
        logits = self.logits(0.9, 0.95, 0.8, 0.99, 0.85)
        kept = only_hardest(logits, torch.zeros(1, 1, 5, dtype=torch.long), Hardest(share=0.4))
        assert kept.tolist() == [[[IGNORE, IGNORE, 0, IGNORE, 0]]]

    def test_the_share_is_of_labelled_pixels_over_the_whole_batch(self) -> None:
        logits = torch.cat([self.logits(0.9, 0.95), self.logits(0.8, 0.75)])
        label = torch.tensor([[[0, 0]], [[0, IGNORE]]])
        kept = only_hardest(logits, label, Hardest(share=0.67))
        assert kept.tolist() == [[[0, IGNORE]], [[0, IGNORE]]]

    def test_the_true_class_decides(self) -> None:
        logits = self.logits(0.9, 0.9)
        kept = only_hardest(logits, torch.tensor([[[0, 1]]]), Hardest(share=0.01))
        assert kept.tolist() == [[[IGNORE, 1]]]

    def test_the_loss_is_that_of_the_hard_pixels_of_each_branch(
        self, rng: np.random.Generator
    ) -> None:
        logits = [random_logits(rng, 2, 5, 9, 9), random_logits(rng, 2, 5, 5, 5)]
        label = random_labels(rng, 2, 33, 33)
        per_class = torch.from_numpy(rng.uniform(0.5, 2, 5)).float()
        hardest = Hardest(probability=0.3, share=0.05)
        got = cascade_label_guidance(logits, label, (1, 0.4), per_class, hardest=hardest)
        expected = 0.0
        for branch, weight, stride in zip(logits, (1, 0.4), (4, 8), strict=True):
            truth = label[:, ::stride, ::stride]
            probability = torch.from_numpy(numpy_softmax(branch))
            loss = mass = 0.0
            for b, y, x in np.ndindex(*truth.shape):
                c = int(truth[b, y, x])
                if c != IGNORE and probability[b, c, y, x] < 0.3:
                    loss -= float(per_class[c]) * math.log(probability[b, c, y, x])
                    mass += float(per_class[c])
            expected += weight * loss / mass
        assert float(got) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("values", [{"probability": 0}, {"probability": 2}, {"share": 0}])
    def test_refuses_to_keep_nothing(self, values: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="expected probability and share"):
            Hardest(**values)


def test_smoothing_spreads_a_share_of_the_truth(rng: np.random.Generator) -> None:
    logits = random_logits(rng, 2, 5, 9, 9)
    label = random_labels(rng, 2, 33, 33)
    got = cascade_label_guidance([logits], label, (1,), smoothing=0.1)
    truth = label[:, ::4, ::4]
    logs = torch.from_numpy(np.log(numpy_softmax(logits))).permute(0, 2, 3, 1)[truth != IGNORE]
    own = logs.gather(1, truth[truth != IGNORE].unsqueeze(1)).mean()
    assert float(got) == pytest.approx(-float(0.9 * own + 0.1 * logs.mean()), rel=1e-5)


class TestSoftLabelLoss:
    @pytest.mark.parametrize("temperature", [1.0, 2.5])
    def test_equals_a_divergence_by_hand(
        self, rng: np.random.Generator, temperature: float
    ) -> None:
        own, taught = random_logits(rng, 2, 5, 9, 9), random_logits(rng, 2, 5, 9, 9)
        label = random_labels(rng, 2, 33, 33)
        p, q = numpy_softmax(taught / temperature), numpy_softmax(own / temperature)
        divergence = (p * (np.log(p) - np.log(q))).sum(1)
        expected = divergence[label.numpy()[:, ::4, ::4] != IGNORE].mean() * temperature**2
        got = soft_label_loss(own, taught, label, temperature)
        assert float(got) == pytest.approx(float(expected), rel=1e-4)

    def test_agreement_costs_nothing(self, rng: np.random.Generator) -> None:
        own = random_logits(rng, 1, 5, 9, 9)
        loss = soft_label_loss(own, own + 3, random_labels(rng, 1, 9, 9), 2.0)
        assert float(loss) == pytest.approx(0, abs=1e-5)

    def test_a_wholly_unlabelled_batch_costs_nothing(self, rng: np.random.Generator) -> None:
        own = random_logits(rng, 1, 3, 9, 9).requires_grad_()
        loss = soft_label_loss(
            own, random_logits(rng, 1, 3, 9, 9), torch.full((1, 9, 9), IGNORE), 2
        )
        loss.backward()
        assert own.grad is not None
        assert not own.grad.any()

    @pytest.mark.parametrize("values", [{"temperature": 0}, {"weight": 0}])
    def test_refuses_a_teacher_that_teaches_nothing(self, values: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="expected temperature and weight above 0"):
            Distillation(teacher="x", **values)


class TestSoftJaccard:
    def by_hand(self, logits: Tensor, label: Tensor) -> float:
        probability = numpy_softmax(logits)
        truth = label.numpy()
        scores = []
        for c in range(logits.shape[1]):
            inside = probability[:, c][truth == c].sum()
            everywhere = probability[:, c][truth != IGNORE].sum()
            pixels = (truth == c).sum()
            if pixels:
                scores.append(inside / (everywhere + pixels - inside))
        return float(1 - np.mean(scores))

    def test_equals_a_float64_reference(self, rng: np.random.Generator) -> None:
        logits = random_logits(rng, 2, 5, 17, 25)
        label = random_labels(rng, 2, 17, 25)
        assert float(soft_jaccard(logits, label)) == pytest.approx(
            self.by_hand(logits, label), rel=1e-5
        )

    def test_absent_classes_are_left_out(self, rng: np.random.Generator) -> None:
        logits = random_logits(rng, 2, 5, 17, 25)
        label = random_labels(rng, 2, 17, 25, num_classes=2)
        assert float(soft_jaccard(logits, label)) == pytest.approx(
            self.by_hand(logits, label), rel=1e-5
        )

    def test_reads_labels_at_the_branchs_size(self, rng: np.random.Generator) -> None:
        logits = random_logits(rng, 2, 5, 17, 25)
        label = random_labels(rng, 2, 65, 97)
        assert float(soft_jaccard(logits, label)) == pytest.approx(
            self.by_hand(logits, label[:, ::4, ::4]), rel=1e-5
        )

    def test_right_answers_cost_nothing_and_wrong_ones_all(self, rng: np.random.Generator) -> None:
        label = torch.from_numpy(rng.integers(0, 3, (1, 9, 9)))
        sure = 40 * F.one_hot(label, 3).permute(0, 3, 1, 2).float()
        assert float(soft_jaccard(sure, label)) == pytest.approx(0, abs=1e-6)
        assert float(soft_jaccard(sure, (label + 1) % 3)) == pytest.approx(1, abs=1e-6)

    def test_gradient_raises_the_true_class_and_lowers_the_others(
        self, rng: np.random.Generator
    ) -> None:
        logits = random_logits(rng, 1, 3, 9, 9).requires_grad_()
        label = random_labels(rng, 1, 9, 9, num_classes=3)
        soft_jaccard(logits, label).backward()
        assert logits.grad is not None
        truth = F.one_hot(torch.where(label == IGNORE, 0, label), 3).permute(0, 3, 1, 2).bool()
        labelled = (label != IGNORE).unsqueeze(1)
        assert (logits.grad[truth & labelled] < 0).all()
        # A wrong class may gain at the expense of another wrong one, but not all of them together.
        others = torch.where(truth, 0, logits.grad).sum(1, keepdim=True)
        assert (others[labelled] > 0).all()
        assert not logits.grad[(~labelled).expand(1, 3, 9, 9)].any()

    def test_a_wholly_unlabelled_batch_costs_nothing(self, rng: np.random.Generator) -> None:
        logits = random_logits(rng, 1, 3, 9, 9).requires_grad_()
        loss = soft_jaccard(logits, torch.full((1, 9, 9), IGNORE))
        assert float(loss.detach()) == 0
        loss.backward()
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_is_finite_for_extreme_logits(self) -> None:
        logits = torch.zeros(1, 2, 3, 3)
        logits[:, 0] = 1e4
        logits.requires_grad_()
        loss = soft_jaccard(logits, torch.ones(1, 3, 3, dtype=torch.long))
        loss.backward()
        assert logits.grad is not None
        assert torch.isfinite(loss.detach())
        assert torch.isfinite(logits.grad).all()


class TestClassWeights:
    def test_is_enets_formula_scaled_to_mean_1(self) -> None:
        raw = [1 / math.log(1.1 + share) for share in (0.7, 0.2, 0.1, 0.0)]
        expected = [value / (sum(raw) / 4) for value in raw]
        weights = class_weights(torch.tensor([700, 200, 100, 0]), 1.1)
        assert weights.dtype == torch.float32
        assert weights.tolist() == pytest.approx(expected)
        assert float(weights.mean()) == pytest.approx(1)

    def test_more_softness_is_flatter(self) -> None:
        pixels = torch.tensor([900, 90, 10])
        spread = [float(class_weights(pixels, softness).std()) for softness in (1.02, 1.1, 1.5, 5)]
        assert spread == sorted(spread, reverse=True)
        assert spread[-1] < 0.1 * spread[0]

    def test_counts_beyond_float32_are_exact_enough(self) -> None:
        pixels = torch.tensor([2**40, 2**40, 2**20])
        assert class_weights(pixels, 1.1)[0] == class_weights(pixels, 1.1)[1]

    @pytest.mark.parametrize("softness", [1.0, 0.5])
    def test_refuses_a_softness_without_a_finite_weight(self, softness: float) -> None:
        with pytest.raises(ValueError, match=f"expected softness > 1, got {softness}"):
            class_weights(torch.tensor([1, 1]), softness)

    def test_refuses_a_set_without_labels(self) -> None:
        with pytest.raises(ValueError, match="at least one labelled pixel"):
            class_weights(torch.tensor([0, 0]), 1.1)
