"""Transduction: what the unlabelled test images themselves say of what does not come from the training distribution.

A classifier tells test images from training normals. Where a share of the test set is anomalous, it learns, from
positive and unlabelled images (Elkan and Noto 2008), the ratio of the test's density to the normals'. It is
cross-fitted: an image is scored only by classifiers that did not see it. No label is used and no other data; but the
score of an image depends on the others, and means nothing for a new image alone.
"""

import copy
import dataclasses
import math
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hw8.base.device import autocast, channels_last
from hw8.base.errors import InputError
from hw8.data.arrays import Images, to_pixels
from hw8.data.loader import in_batches
from hw8.models.averaging import averaging_decay, update_average
from hw8.models.output import Model
from hw8.scoring.tails import Tail, conformal

FOLDS = 2
STEPS = 500
HALF_BATCH = 64
LR = 3e-4  # on the simulated test sets 1e-3 learned less and 3e-3 nothing
DECAY = 0.99
SHIFT = 2
# Chosen on simulated test sets, without labels (benchmarks/transduction.py): there the synthetic kinds are seen
# better by the boss than by the discriminators, and these cost the least. The classifiers may only raise a score.
BOUNDS = 0.0, 6.0
LEAST_SHARE = 0.3
# Standard errors by which test images must stand above held-out normals: one test set of normals in 700 does.
SURE = 3.0


@dataclasses.dataclass(frozen=True)
class Transduction:
    """Scores of the test images (N,), and the estimated share of anomalies among them.

    There are no p-values: whatever tells test normals from training normals, for instance that they are other people,
    raises theirs, so that a promise of false alarms would not hold. The boss's own p-values keep it.
    """

    score_N: np.ndarray
    share: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """Images and those of their rows that take part."""

    images: Images
    rows: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ratios:
    """Log density ratios, test over normal: of calibration normals under each fold, of test images under their own."""

    calibration_FC: np.ndarray
    test_N: np.ndarray
    fold_N: np.ndarray


class Discriminator(nn.Module):
    """The recogniser's encoder, trained on, and the log-odds that an image is a test image: (N,)."""

    def __init__(self, features: nn.Module, width: int) -> None:
        super().__init__()
        self.features, self.head = copy.deepcopy(features).requires_grad_(True), nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Log-odds of the mean features."""
        return self.head(self.features(x_NCHW).mean((2, 3))).squeeze(1)


@dataclasses.dataclass(frozen=True)
class Transducer:
    """Cross-fits discriminators between training normals and test images, starting from a recogniser's encoder.

    Raises InputError for another model.
    """

    model: Model
    device: torch.device
    precision: str
    batch_size: int
    seed: int
    steps: int = STEPS
    lr: float = LR

    def __post_init__(self) -> None:
        check_can_transduce(self.model)

    @property
    def mirror(self) -> bool:
        """Whether mirror images of normal images are normal."""
        return bool(getattr(self.model, "mirror", True))

    def __call__(
        self, normal: Sample, calibration: Sample, test: Images, boss_C: np.ndarray, boss_N: np.ndarray
    ) -> Transduction:
        """Fuse what the discriminators say with scores of the calibration normals (C,) and of the test images (N,).

        The rule is fixed: the product of the p-to-e calibrator p^(-1/2) / 2 of the boss's p-value (Vovk and Wang 2021)
        and of the anomalies' likelihood ratio that the discriminators estimate, kept within bounds. Unless they
        tell test images from held-out normals beyond doubt (Mann-Whitney, three standard errors), the boss's score
        stands alone.
        """
        if len(test) < FOLDS:
            return Transduction(Tail.fit(boss_C).nats(boss_N) / 2, 0.0)
        return fuse(self.ratios(normal, calibration, test), boss_C, boss_N)

    def ratios(self, normal: Sample, calibration: Sample, test: Images) -> "Ratios":
        """Cross-fit a discriminator for each fold, and let it speak of the images that it did not see."""
        fold_N = np.random.default_rng([self.seed, 1]).permutation(len(test)) % FOLDS
        ratio_N, ratio_FC = np.empty(len(test)), np.empty((FOLDS, len(calibration.rows)))
        total = FOLDS * self.steps
        with tqdm(total=total, desc="transduction", unit="step", file=sys.stderr) as bar:
            for fold in range(FOLDS):
                seen, unseen = (np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold))
                net = self._fit(normal, Sample(test, seen), fold, bar)
                said_C, said_U = self._score(net, calibration), self._score(net, Sample(test, unseen))
                slope, offset = platt(said_C, said_U)
                ratio_FC[fold], ratio_N[unseen] = slope * said_C + offset, slope * said_U + offset
        return Ratios(ratio_FC, ratio_N, fold_N)

    def _fit(self, normal: Sample, other: Sample, fold: int, bar: "tqdm[Any]") -> nn.Module:
        """Train a discriminator on halves of each kind; returns its averaged weights."""
        features, heads = check_can_transduce(self.model)
        torch.manual_seed((self.seed << 8) + fold)
        net = channels_last(Discriminator(features, heads.in_features).to(self.device)).train()
        average = copy.deepcopy(net).eval()
        optimizer = torch.optim.AdamW(net.parameters(), self.lr, weight_decay=0.05)
        rng = np.random.default_rng([self.seed, 2, fold])
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.lr * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
            x_NCHW = torch.cat([self._draw(sample, rng) for sample in (normal, other)])
            target_N = torch.arange(2, device=self.device).repeat_interleave(HALF_BATCH).float()
            with autocast(self.precision, self.device):
                logit_N = net(x_NCHW.contiguous(memory_format=torch.channels_last))
            F.binary_cross_entropy_with_logits(logit_N.float(), target_N).backward()
            optimizer.step()
            optimizer.zero_grad()
            update_average(average, net, averaging_decay(step, DECAY))
            bar.update()
        return average

    def _draw(self, sample: Sample, rng: np.random.Generator) -> Tensor:
        """Half a batch, each image mirrored by chance and moved by up to two pixels."""
        batch_BHWC = sample.images.read(np.sort(rng.choice(sample.rows, HALF_BATCH)))
        mirrored = rng.random(HALF_BATCH) < 0.5
        if self.mirror:
            batch_BHWC[mirrored] = batch_BHWC[mirrored, :, ::-1]
        x_NCHW = to_pixels(torch.from_numpy(batch_BHWC), self.device)
        padded = F.pad(x_NCHW, (SHIFT,) * 4, mode="reflect")
        y, x = rng.integers(0, 2 * SHIFT + 1, 2)
        return padded[:, :, y : y + x_NCHW.shape[2], x : x + x_NCHW.shape[3]]

    @torch.inference_mode()
    def _score(self, net: nn.Module, sample: Sample) -> np.ndarray:
        """Mean log-odds of each image and, if those are as normal, its mirror image: float64 (len(rows),)."""
        parts = []
        for rows_B in in_batches(sample.rows, self.batch_size):
            x_NCHW = to_pixels(torch.from_numpy(sample.images.read(rows_B)), self.device)
            with autocast(self.precision, self.device):
                said_B = (net(x_NCHW) + net(x_NCHW.flip(3))) / 2 if self.mirror else net(x_NCHW)
            parts.append(said_B.float().cpu().double().numpy())
        return np.concatenate(parts)


def check_can_transduce(model: Model) -> tuple[nn.Module, nn.Linear]:
    """The encoder to start from, and the layer on it. Raises InputError if the model is no recogniser."""
    features, heads = getattr(model, "features", None), getattr(model, "heads", None)
    if not isinstance(features, nn.Module) or not isinstance(heads, nn.Linear):
        raise InputError("`transductive`: starts from a recogniser's encoder; train the preset boss_transductive")
    return features, heads


def platt(said_C: np.ndarray, said_U: np.ndarray) -> tuple[float, float]:
    """Slope >= 0 and offset that turn log-odds into log density ratios, test over normal (Platt 1999).

    Fitted between normals (C,) and test images (U,) that the discriminator did not see, each set weighing one half:
    where it learned nothing the slope, and with it the ratio, goes to zero.
    """
    from sklearn.linear_model import LogisticRegression

    x_M1 = np.concatenate([said_C, said_U])[:, None]
    scale = max(float(x_M1.std()), 1e-9)
    y_M = np.repeat([0, 1], [len(said_C), len(said_U)])
    fit = LogisticRegression(class_weight="balanced", C=1e3).fit(x_M1 / scale, y_M)
    slope = float(fit.coef_[0, 0]) / scale
    return (slope, float(fit.intercept_[0])) if slope > 0 else (0.0, 0.0)


def fuse(
    ratios: Ratios,
    boss_C: np.ndarray,
    boss_N: np.ndarray,
    bounds: tuple[float, float] = BOUNDS,
    least_share: float = LEAST_SHARE,
    least_z: float = SURE,
) -> Transduction:
    """The boss's e-value times the likelihood ratio, where the discriminators have something to say.

    `boss_C`, `boss_N`: the boss's scores of the calibration normals and of the test images. The log likelihood ratio
    is kept within `bounds`, in nats, and the share of anomalies taken for `least_share` at the least. Unless test
    images stand `least_z` standard errors above held-out normals, the boss's e-value stands alone.
    """
    p_N = np.empty(len(ratios.test_N))
    for fold, ratio_C in enumerate(ratios.calibration_FC):
        of_fold = ratios.fold_N == fold
        p_N[of_fold] = conformal(ratio_C, ratios.test_N[of_fold])
    # For normal images p is uniform, with a mean of 1/2 and a variance of 1/12.
    sure = (0.5 - p_N.mean()) / np.sqrt((1 / len(boss_C) + 1 / len(p_N)) / 12)
    nats_N = Tail.fit(boss_C).nats(boss_N) / 2
    if sure < least_z:
        return Transduction(nats_N, 0.0)
    share = float(max(0.0, 1 - 2 * (p_N > 0.5).mean()))  # Storey 2002
    return Transduction(nats_N + _anomalies(ratios.test_N, max(share, least_share), bounds), share)


def _anomalies(ratio: np.ndarray, share: float, bounds: tuple[float, float]) -> np.ndarray:
    """Log likelihood ratio of anomalies to normals, where the test set is a mixture with that share of anomalies."""
    excess = (np.exp(ratio) - (1 - share)) / share
    return np.log(np.maximum(excess, math.exp(bounds[0]))).clip(*bounds)
