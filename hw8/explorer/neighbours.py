"""The training images that are most like an image, by the latents of a run."""

import dataclasses

import numpy as np

from hw8.data.arrays import Images
from hw8.data.splits import evenly_spaced
from hw8.explorer.watched import Watch, Watched
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.inference import Scorer

NEAREST = 5  # training images shown beside an image: a row of pictures on a page
SEARCHED = 4000  # training images searched for the nearest; chosen by hand: they take as long as as many test images
MIN_SCALE = 1e-6  # a latent column that never varies is not divided by zero


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Training images by where the encoder puts them: (R, D), each column in units of its spread."""

    images: Images
    rows: np.ndarray
    latent_RD: np.ndarray
    scale_D: np.ndarray
    scorer: Scorer

    @classmethod
    def of(cls, trained: TrainedRun, watch: Watch) -> "Neighbourhood":
        """Up to 4,000 evenly spaced images of the training split. Raises InputError if they are gone."""
        images, splits = trained.open_training()
        rows = evenly_spaced(splits.train, SEARCHED)
        scorer = trained.scorer.with_evidence(("latent",))
        latent_RD = scorer.table(Watched(images, watch), rows, label="training images")["latent"].reshape(len(rows), -1)
        scale_D = np.maximum(latent_RD.std(axis=0), MIN_SCALE)
        return cls(images, rows, latent_RD / scale_D, scale_D, scorer)

    def nearest(self, image_HWC: np.ndarray) -> list[np.ndarray]:
        """The five training images whose latents are nearest, the nearest first."""
        latent_D = self.scorer.evidence(image_HWC[None])["latent"].reshape(-1) / self.scale_D
        places = np.argsort(np.square(self.latent_RD - latent_D).sum(axis=1))[:NEAREST]
        return [self.images.read(self.rows[[place]])[0] for place in places]
