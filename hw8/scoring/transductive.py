"""Transduction: what the unlabelled test images themselves say of what does not come from the training distribution.

A linear classifier tells training normals from a mixture of calibration normals and test images (AdaDetect, Marandon
and others 2024). Where a share of the test set is anomalous, its log-odds rise with the ratio of the test's density to
the normals': learning from positive and unlabelled images (Elkan and Noto 2008). It is cross-fitted: an image is scored
only by a classifier that did not see it. Calibration and test normals are treated alike, so that conformal p-values
compare like with like; their level is measured, not proven, since there are five classifiers instead of one. No label
is used and no other data; but the score of an image depends on the others, and means nothing for a new image.
"""

import dataclasses
import functools

import numpy as np
import torch
from torch import Tensor, nn

from hw8.base.errors import InputError
from hw8.base.processes import processes
from hw8.data.arrays import Images
from hw8.models.blocks import ResidualBlock
from hw8.models.output import Model, Output
from hw8.models.recogniser import Recogniser
from hw8.scoring.calibration import CLIPPED_AT, Calibration, columns
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import Tail, conformal, leave_one_out_neg_log_p

# FOLDS to MIN_Z were chosen on simulated test sets, without labels (benchmarks/transduction.py; docs/experiments.md).
FOLDS = 5  # of two folds, a classifier would see half of the test set instead of four fifths
PENALTY_C = 3e-4  # scikit-learn's inverse strength of the L2 penalty
OWN_SCALE = 10.0  # standard deviation of the run's own -log p among columns of 1, so that it is hardly penalised
MIN_Z = 2.0  # standard errors of test images above held-out normals: 1 test set of normals in 44 exceeds it
STEPS = 200  # most iterations of L-BFGS; it took 27 to 37 on simulated test sets
STAGES = "stages"


@dataclasses.dataclass(frozen=True)
class Transduction:
    """Scores of the test images (N,), -log p, their conformal p-values, and the estimated share of anomalies.

    The share is 0 where the classifiers found none. The p-values hold where calibration and test normals are alike.
    """

    score_N: np.ndarray
    p_value_N: np.ndarray
    share: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """Rows of an image array; `in_reference_N`, bool, marks those that the run's distances were fitted to, if any."""

    images: Images
    rows: np.ndarray
    in_reference_N: np.ndarray | None = None


class Stages(Model):
    """A recogniser with one more piece of evidence, `stages`: (N, 2D) means and deviations of its encoder's D channels.

    After each stage, a ReLU of the stem or a residual block, over the places of the map; averaged with those of the
    mirror image if the recogniser is.
    """

    needs_output = False

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser
        # Found here, since a quick copy of the model has no ReLU of its own.
        layers = recogniser.features.layers
        self.ends = [number for number, layer in enumerate(layers) if isinstance(layer, nn.ReLU | ResidualBlock)]

    def forward(self, x_NCHW: Tensor) -> Output:
        """The recogniser's."""
        return self.recogniser(x_NCHW)

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """The recogniser's, and `stages`."""
        stages_ND = self._stages(x_NCHW)
        if self.recogniser.mirror:
            stages_ND = (stages_ND + self._stages(x_NCHW.flip(3))) / 2
        return self.recogniser.evidence(x_NCHW, output) | {STAGES: stages_ND}

    def _stages(self, x_NCHW: Tensor) -> Tensor:
        statistics: list[Tensor] = []
        for number, layer in enumerate(self.recogniser.features.layers):
            x_NCHW = layer(x_NCHW)
            if number in self.ends:
                statistics += torch.std_mean(x_NCHW.float(), (2, 3), correction=0)  # of a map of one place too
        return torch.cat(statistics, 1)


@dataclasses.dataclass(frozen=True)
class Transducer:
    """Cross-fits a classifier of training normals against all other images, on a recogniser's evidence.

    `scorer` gives the evidence behind `score_name`, the run's own score, which `calibration` knows.
    """

    scorer: Scorer
    calibration: Calibration
    score_name: str
    seed: int

    def __call__(self, normal: Sample, calibration: Sample, test: Images, inductive_N: np.ndarray) -> Transduction:
        """Score test images; `inductive_N` are the run's own scores of them, `normal` is a sample of training images.

        The score is -log p of the classifier's log-odds, by the `calibration` normals. Unless these tell test images
        from held-out normals (Mann-Whitney, two standard errors), it is -log p of the run's own score.
        """
        inductive_C = self.calibration.values_C[self.score_name]
        if min(len(inductive_C), len(inductive_N)) < FOLDS:
            return inductive_scores(inductive_C, inductive_N)
        samples = normal, calibration, Sample(test, np.arange(len(test)))
        normal_RD, calibration_CD, test_ND = map(self.describe, samples)
        # A tail fitted to an image underestimates how unusual that image is.
        calibration_CD[:, -1] = leave_one_out_neg_log_p(inductive_C)
        # One process fits the classifiers: several might round differently.
        logits = processes().on_rank_0(lambda: log_odds(normal_RD, calibration_CD, test_ND, self.seed))
        return choose_scores(*logits, inductive_C, inductive_N)

    @functools.cached_property
    def staged(self) -> Scorer:
        """Gives the evidence of `scorer` and `stages`. Raises InputError if its model is no recogniser."""
        scorer, recogniser = self.scorer, check_can_transduce(self.scorer.model)
        names = None if scorer.evidence_names is None else [*scorer.evidence_names, STAGES]
        return Scorer(Stages(recogniser), scorer.device, scorer.precision, scorer.batch_size, names)

    def describe(self, sample: Sample) -> np.ndarray:
        """Columns of evidence, the last of which is -log p of the run's own score: float32 (N, D)."""
        table = self.staged.table(sample.images, sample.rows, label="transduction")
        inductive_N = self.calibration.scores(table, sample.in_reference_N)[self.score_name]
        neg_log_p_N = self.calibration.neg_log_p(self.score_name, inductive_N)
        return np.column_stack([columns(table, list(table)), neg_log_p_N]).astype(np.float32)


def check_can_transduce(model: Model) -> Recogniser:
    """The model, whose encoder's stages tell images apart. Raises InputError if it is no recogniser."""
    if not isinstance(model, Recogniser):
        raise InputError("`transductive`: starts from a recogniser's encoder; train the preset boss_transductive")
    return model


def log_odds(
    normal_RD: np.ndarray, calibration_CD: np.ndarray, test_ND: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of calibration normals (C,) and test images (N,), against training normals, by classifiers of the rest.

    Logistic regression of standardised columns, clipped at 8 deviations, both sides weighing one half; one classifier
    for each fold of the calibration normals and test images. The last column is the run's own -log p.
    """
    from sklearn.linear_model import LogisticRegression

    sizes = len(normal_RD), len(calibration_CD), len(test_ND)
    every_MD = np.concatenate([normal_RD, calibration_CD, test_ND])
    scale_D = every_MD.std(axis=0)
    every_MD -= every_MD.mean(axis=0)
    every_MD /= np.where(scale_D > 0, scale_D, 1.0)  # a channel that is never active has no spread
    np.clip(every_MD, -CLIPPED_AT, CLIPPED_AT, out=every_MD)
    every_MD[:, -1] *= OWN_SCALE
    rng = np.random.default_rng([seed, 1])
    fold_M = np.concatenate([np.full(sizes[0], -1), *(rng.permutation(size) % FOLDS for size in sizes[1:])])
    logit_M = np.zeros(len(every_MD))
    for fold in range(FOLDS):
        mine_M = fold_M == fold
        classifier = LogisticRegression(C=PENALTY_C, class_weight="balanced", max_iter=STEPS)
        classifier.fit(every_MD[~mine_M], fold_M[~mine_M] >= 0)
        logit_M[mine_M] = classifier.decision_function(every_MD[mine_M])
    _, logit_C, logit_N = np.split(logit_M, np.cumsum(sizes)[:2])
    return logit_C, logit_N


def choose_scores(
    logit_C: np.ndarray, logit_N: np.ndarray, inductive_C: np.ndarray, inductive_N: np.ndarray
) -> Transduction:
    """-log p of the log-odds, if test images (N,) stand two standard errors above calibration normals (C,).

    Otherwise -log p of the run's own scores (C,), (N,), and a share of 0.
    """
    if mann_whitney_z(logit_C, logit_N) < MIN_Z:
        return inductive_scores(inductive_C, inductive_N)
    p_N = conformal(logit_C, logit_N)
    share = max(1 / len(p_N), 1 - 2 * float((p_N > 0.5).mean()))  # Storey 2002; at least one image
    return Transduction(Tail.fit(logit_C).neg_log_p(logit_N), p_N, share)


def mann_whitney_z(score_C: np.ndarray, score_N: np.ndarray) -> float:
    """How many standard errors the scores of test images (N,) lie above those of calibration normals (C,).

    From the mean of the p-values, which is the statistic of Mann and Whitney's test: for normal images p is uniform,
    with a mean of 1/2 and a variance of 1/12.
    """
    deviation = 0.5 - conformal(score_C, score_N).mean()
    return float(deviation / np.sqrt((1 / len(score_C) + 1 / len(score_N)) / 12))


def inductive_scores(inductive_C: np.ndarray, inductive_N: np.ndarray) -> Transduction:
    """-log p of the run's own scores, and their p-values, without the classifiers."""
    return Transduction(Tail.fit(inductive_C).neg_log_p(inductive_N), conformal(inductive_C, inductive_N), 0.0)
