"""Transduction: what the unlabelled test images themselves say of what does not come from the training distribution.

A classifier tells training normals from a mixture of calibration normals and test images (AdaDetect, Marandon and
others 2024). Where a share of the test set is anomalous, it learns, from positive and unlabelled images (Elkan and Noto
2008), the ratio of the test's density to the normals'. It is cross-fitted: an image is scored only by classifiers that
did not see it. Calibration and test normals are treated alike, so that conformal p-values compare like with like. No
label is used and no other data; but the score of an image depends on the others, and means nothing for a new image.
"""

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hw8.base.device import autocast, channels_last
from hw8.base.errors import InputError
from hw8.base.progress import progress_bar
from hw8.data.arrays import Images, to_pixels
from hw8.data.loader import in_batches, training_batch
from hw8.models.averaging import averaging_decay, update_average
from hw8.models.blocks import in_float32
from hw8.models.output import Model
from hw8.models.recogniser import Recogniser
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import Tail, conformal, leave_one_out_nats

# Steps, rate, bounds, share and z were chosen on simulated test sets, without labels (benchmarks/transduction.py;
# docs/scoring.md has the figures). There the synthetic kinds are seen better by the recogniser than by the
# discriminators, and these values cost the least. The rest was chosen by hand.
FOLDS = 2  # more would train each discriminator on more of the test set, and take as many times as long
STEPS = 500
HALF_BATCH = 64  # images of each kind per step
LR = 3e-4  # 1e-3 learned less and 3e-3 nothing
WARMUP = 50  # steps to the full rate: without them the first ones destroy the features it starts from
WEIGHT_DECAY = 0.05
DECAY = 0.99  # of the averaged weights, which remember about the last hundred steps
SHIFT = 2  # pixels that an image is moved by at most, so that no pixel is learned by heart
BOUNDS = 0.0, 6.0  # nats of the log likelihood ratio: not below 0, so that the discriminators may only raise a score
LEAST_SHARE = 0.3  # of anomalies: a smaller one makes the ratio a steep function of the discriminators' noise
LEAST_Z = 3.0  # standard errors of test images above held-out normals: 1 test set of normals in 700 exceeds it
PLATT_C = 1e3  # inverse strength of the regression's penalty, so weak that one slope and one offset are free


@dataclasses.dataclass(frozen=True)
class Transduction:
    """Scores of the test images (N,), their conformal p-values, and the estimated share of anomalies among them.

    The p-values hold where calibration and test normals are exchangeable. What sets test normals apart from training
    normals, for instance that they are other people, raises their scores.
    """

    score_N: np.ndarray
    p_value_N: np.ndarray
    share: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """Images and those of their rows that take part."""

    images: Images
    rows: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ratios:
    """Log density ratios, test over normal, of calibration normals (C,) and test images (N,), and their folds."""

    calibration_C: np.ndarray
    test_N: np.ndarray
    fold_C: np.ndarray
    fold_N: np.ndarray


class Discriminator(nn.Module):
    """The recogniser's encoder, trained further, and the log-odds that an image is not of the training set: (N,)."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.features = copy.deepcopy(recogniser.features).requires_grad_(True)
        self.head = nn.Linear(recogniser.heads.in_features, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Log-odds of the mean features."""
        map_NDhw = self.features(x_NCHW)
        with in_float32(x_NCHW):  # in bfloat16 most images would share their log-odds with others
            return self.head(map_NDhw.float().mean((2, 3))).squeeze(1)


@dataclasses.dataclass(frozen=True)
class Transducer:
    """Cross-fits discriminators between training normals and all other images, starting from a recogniser's encoder.

    Raises InputError for another model.
    """

    scorer: Scorer
    seed: int
    steps: int = STEPS
    lr: float = LR

    def __post_init__(self) -> None:
        self.recogniser()

    def recogniser(self) -> Recogniser:
        """The scorer's model. Raises InputError if it is another one."""
        return check_can_transduce(self.scorer.model)

    def __call__(
        self, normal: Sample, calibration: Sample, test: Images, own_C: np.ndarray, own_N: np.ndarray
    ) -> Transduction:
        """Fuse the discriminators' ratios with scores of the calibration normals (C,) and of the test images (N,).

        The rule is fixed: the product of the p-to-e calibrator p^(-1/2) / 2 of the run's own p-value (Vovk and Wang
        2021) and of the anomalies' likelihood ratio that the discriminators estimate, kept within bounds. Unless they
        tell test images from held-out normals beyond doubt (Mann-Whitney, three standard errors), the run's own score
        stands alone.
        """
        if min(len(test), len(calibration.rows)) < FOLDS:
            return alone(own_C, own_N)
        return fuse(self.ratios(normal, calibration, test), own_C, own_N)

    def ratios(self, normal: Sample, calibration: Sample, test: Images) -> Ratios:
        """Log density ratios by one discriminator for each fold, which has not seen the fold's images."""
        rng = np.random.default_rng([self.seed, 1])
        sizes = len(calibration.rows), len(test)
        fold_C, fold_N = (rng.permutation(size) % FOLDS for size in sizes)
        ratio_C, ratio_N = (np.empty(size) for size in sizes)
        with progress_bar(FOLDS * self.steps, "transduction", "step") as bar:
            for fold in range(FOLDS):
                mine_C, mine_N = fold_C == fold, fold_N == fold
                others = [Sample(calibration.images, calibration.rows[~mine_C]), Sample(test, np.flatnonzero(~mine_N))]
                net = self._fit([normal], others, fold, bar)
                logit_C = self._score(net, Sample(calibration.images, calibration.rows[mine_C]))
                logit_N = self._score(net, Sample(test, np.flatnonzero(mine_N)))
                slope, offset = platt(logit_C, logit_N)
                ratio_C[mine_C], ratio_N[mine_N] = slope * logit_C + offset, slope * logit_N + offset
        return Ratios(ratio_C, ratio_N, fold_C, fold_N)

    def _fit(self, normal: list[Sample], other: list[Sample], fold: int, bar: "tqdm[Any]") -> nn.Module:
        """Train a discriminator on batches that are half of each kind; returns its averaged weights.

        hw8/training/loop.py trains a model on one set; this loop has two sets, no epochs and nothing to resume.
        """
        device = self.scorer.device
        precision = "fp32" if self.scorer.precision == "fp16" else self.scorer.precision  # no scaled loss here
        torch.manual_seed((self.seed << 8) + fold)
        net = channels_last(Discriminator(self.recogniser()).to(device)).train()
        average = copy.deepcopy(net).eval()
        optimizer = torch.optim.AdamW(net.parameters(), self.lr, weight_decay=WEIGHT_DECAY)
        rng = np.random.default_rng([self.seed, 2, fold])
        target_N = torch.arange(2, device=device).repeat_interleave(HALF_BATCH).float()
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate(step)
            x_NCHW = torch.cat([self._draw(samples, rng) for samples in (normal, other)])
            with autocast(precision, device):
                logit_N = net(x_NCHW.contiguous(memory_format=torch.channels_last))
            F.binary_cross_entropy_with_logits(logit_N.float(), target_N).backward()
            optimizer.step()
            optimizer.zero_grad()
            update_average(average, net, averaging_decay(step, DECAY))
            bar.update()
        return average

    def _learning_rate(self, step: int) -> float:
        """Linear warm-up under half a cosine down to 0."""
        return self.lr * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / self.steps))

    def _draw(self, samples: list[Sample], rng: np.random.Generator) -> Tensor:
        """Half a batch of all samples together, each image mirrored by chance, all moved by up to two pixels."""
        ends = np.cumsum([len(sample.rows) for sample in samples])
        place_B = np.sort(rng.choice(ends[-1], HALF_BATCH))
        mirrored_B = rng.random(HALF_BATCH) < 0.5
        parts = []
        for sample, end in zip(samples, ends, strict=True):
            of_sample = (place_B >= end - len(sample.rows)) & (place_B < end)
            rows = np.sort(sample.rows[place_B[of_sample] - (end - len(sample.rows))])
            mirrored = mirrored_B[of_sample] if self.recogniser().mirror else None
            parts.append(training_batch(sample.images, rows, self.scorer.device, mirrored))
        x_NCHW = torch.cat(parts)
        padded = F.pad(x_NCHW, (SHIFT,) * 4, mode="reflect")
        y, x = rng.integers(0, 2 * SHIFT + 1, 2)
        return padded[:, :, y : y + x_NCHW.shape[2], x : x + x_NCHW.shape[3]]

    @torch.inference_mode()
    def _score(self, net: nn.Module, sample: Sample) -> np.ndarray:
        """Mean log-odds of each image and, if those are as normal, its mirror image: float64 (len(rows),)."""
        parts = []
        for rows_B in in_batches(sample.rows, self.scorer.batch_size):
            x_NCHW = to_pixels(torch.from_numpy(sample.images.read(rows_B)), self.scorer.device)
            with autocast(self.scorer.precision, self.scorer.device):
                logit_B = (net(x_NCHW) + net(x_NCHW.flip(3))) / 2 if self.recogniser().mirror else net(x_NCHW)
            parts.append(logit_B.float().cpu().double().numpy())
        return np.concatenate(parts)


def check_can_transduce(model: Model) -> Recogniser:
    """The model, whose encoder the discriminators start from. Raises InputError if it is no recogniser."""
    if not isinstance(model, Recogniser):
        raise InputError("`transductive`: starts from a recogniser's encoder; train the preset boss_transductive")
    return model


def platt(logit_C: np.ndarray, logit_U: np.ndarray) -> tuple[float, float]:
    """Slope >= 0 and offset that turn log-odds into log density ratios, test over normal (Platt 1999).

    Fitted between normals (C,) and test images (U,) that the discriminator did not see, each set weighing one half:
    where it learned nothing the slope, and with it the ratio, goes to zero.
    """
    from sklearn.linear_model import LogisticRegression

    x_M1 = np.concatenate([logit_C, logit_U])[:, None]
    scale = max(float(x_M1.std()), 1e-9)
    y_M = np.repeat([0, 1], [len(logit_C), len(logit_U)])
    fit = LogisticRegression(class_weight="balanced", C=PLATT_C).fit(x_M1 / scale, y_M)
    slope = float(fit.coef_[0, 0]) / scale
    return (slope, float(fit.intercept_[0])) if slope > 0 else (0.0, 0.0)


def alone(own_C: np.ndarray, own_N: np.ndarray) -> Transduction:
    """The run's own e-value and p-value, without the discriminators."""
    return Transduction(Tail.fit(own_C).nats(own_N) / 2, conformal(own_C, own_N), 0.0)


def fuse(
    ratios: Ratios, own_C: np.ndarray, own_N: np.ndarray,
    bounds: tuple[float, float] = BOUNDS, least_share: float = LEAST_SHARE, least_z: float = LEAST_Z,
) -> Transduction:  # fmt: skip
    """The run's own e-value times the likelihood ratio, where the discriminators have something to say.

    `own_C`, `own_N`: the run's own scores of the calibration normals and of the test images. The log likelihood ratio
    is kept within `bounds`, in nats, and the share of anomalies is at least `least_share`. Unless test images stand
    `least_z` standard errors above calibration normals, the run's own e-value stands alone.
    """
    p_N = np.empty(len(ratios.test_N))
    for fold in range(FOLDS):
        of_fold = ratios.fold_N == fold
        p_N[of_fold] = conformal(ratios.calibration_C[ratios.fold_C == fold], ratios.test_N[of_fold])
    # For normal images p is uniform, with a mean of 1/2 and a variance of 1/12.
    z = (0.5 - p_N.mean()) / np.sqrt((1 / len(own_C) + 1 / len(p_N)) / 12)
    if z < least_z:
        return alone(own_C, own_N)
    share = float(max(0.0, 1 - 2 * (p_N > 0.5).mean()))  # Storey 2002
    mixed = max(share, least_share)

    def nats_of(ratio_N: np.ndarray) -> np.ndarray:
        # The test density is (1 - share) normal + share anomalous; its ratio to the normals' gives the anomalies'.
        anomalous_N = (np.exp(ratio_N) - (1 - mixed)) / mixed
        return np.log(np.maximum(anomalous_N, math.exp(bounds[0]))).clip(*bounds)

    score_C = leave_one_out_nats(own_C) / 2 + nats_of(ratios.calibration_C)
    score_N = Tail.fit(own_C).nats(own_N) / 2 + nats_of(ratios.test_N)
    return Transduction(score_N, conformal(score_C, score_N), share)
