"""Whether a training succeeded: a warning, with its remedy, for each failure that stops nothing."""

import numpy as np

from hw8.config import RunConfig
from hw8.data.arrays import Images, scaled
from hw8.data.splits import evenly_spaced
from hw8.evaluation.metrics import Evaluation
from hw8.scoring.inference import Scorer
from hw8.training.history import Row

# Chosen by hand, far from what healthy trainings give: larger limits warn of those, smaller ones miss failures that are
# not exact, since a collapsed model's outputs still differ in their last digits.
LOOKED_AT = 256  # development images: one batch, in which a spread is good to a few percent
SAME = 1e-3  # spread of a latent or a score, as a share of its size, that counts as none
DEAD = 0.02  # spread of the reconstructions, as a share of the images', below which they show one picture
LITTLE = 0.01  # fall of the held-out loss, as a share of its first value, that counts as none


def training_warnings(
    config: RunConfig, history: list[Row], scorer: Scorer, images: Images, rows: np.ndarray, evaluation: Evaluation
) -> list[str]:
    """A line for each way in which a finished training has failed in silence; none for a healthy one.

    Looks at the history, at the latents, reconstructions and scores of up to 256 of the development `rows`, and at the
    held-out ROC-AUC. A loss that is not finite or does not move at all stops a training before it comes here.
    """
    batch_BHWC, score = images.read(evenly_spaced(rows, LOOKED_AT)), config.scoring.score
    recon_BHWC, evidence = scorer.with_evidence(("latent", score)).reconstruct(batch_BHWC)
    lines = [
        _loss(history, config.train.lr),
        _latent(evidence["latent"]),
        None if recon_BHWC is None else _decoder(recon_BHWC, scaled(batch_BHWC)),
        _scores(score, evidence.get(score)),
        _chance(score, evaluation),
    ]
    return [line for line in lines if line is not None]


def _loss(history: list[Row], lr: float) -> str | None:
    losses = [row["held_out_loss"] for row in history]
    fall = (losses[0] - min(losses)) / max(abs(losses[0]), 1e-12)
    if len(losses) < 2 or fall >= LITTLE:
        return None
    return (
        f"the held-out loss has hardly moved: {losses[0]:.4g} after the first epoch, {min(losses):.4g} at best; "
        f"try another learning rate (now {lr:g}), more epochs or another loss"
    )


def _latent(latent_BD: np.ndarray) -> str | None:
    size = np.sqrt((latent_BD.astype(np.float64) ** 2).mean())
    if len(latent_BD) < 2 or latent_BD.std(axis=0).max() > SAME * size:
        return None
    return (
        "the latent has collapsed: it is the same for every image; train with a lower learning rate, a larger latent "
        "(latent=64), or less weight on the latent's own loss (beta, for a variational one)"
    )


def _decoder(recon_BHWC: np.ndarray, x_BHWC: np.ndarray) -> str | None:
    recon_spread, image_spread = (np.sqrt(x.var(axis=0, dtype=np.float64).mean()) for x in (recon_BHWC, x_BHWC))
    if recon_spread > DEAD * image_spread:
        return None
    return (
        f"the decoder is dead: it shows the same picture for every image (their spread is {recon_spread:.2g}, the "
        f"images' {image_spread:.2g}); train with a lower learning rate, more epochs, or a larger latent"
    )


def _scores(name: str, score_B: np.ndarray | None) -> str | None:
    """Only for one number per image: a distance of vectors is measured by the ROC-AUC."""
    if score_B is None or score_B.ndim != 1 or score_B.std() > SAME * np.abs(score_B).mean():
        return None
    return f"the scores have collapsed: {name} is {score_B.mean():.4g} for every image; try another score or model"


def _chance(name: str, evaluation: Evaluation) -> str | None:
    macro = evaluation.macro
    if macro.low > 0.5:
        return None
    return (
        f"the held-out ROC-AUC of {name} is at chance: {macro.auc:.3f} ({macro.low:.3f} to {macro.high:.3f}); train "
        "longer, or try another preset or score"
    )
