"""What the explorer shows of a run and a test set: every image's scores, and explanations of single images."""

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.errors import InputError
from hw8.config import Device
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.explorer.upload import read_upload
from hw8.report.explanation import Explainer
from hw8.report.figures import three_channels
from hw8.report.sprites import data_uri, pictures
from hw8.runs.predict import score_images
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.inference import Scorer
from hw8.scoring.tails import rarity

NEAREST = 5  # training images shown beside an image: a row of pictures on a page
# Training images searched for the nearest, chosen by hand: all of them are scored before the page opens.
SEARCHED = 4000
LEAST_SCALE = 1e-6  # a latent column that never varies is not divided by zero


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Training images by where the encoder puts them: (R, D), each column in units of its spread."""

    images: Images
    rows: np.ndarray
    latent_RD: np.ndarray
    scale_D: np.ndarray
    scorer: Scorer

    @classmethod
    def of(cls, trained: TrainedRun) -> "Neighbourhood":
        """Up to 4,000 evenly spaced images of the training split. Raises InputError if they are gone."""
        images, splits = trained.open_training()
        rows = evenly_spaced(splits.train, SEARCHED)
        scorer = trained.scorer.with_evidence(("latent",))
        latent_RD = scorer.table(images, rows, label="training images")["latent"].reshape(len(rows), -1)
        scale_D = np.maximum(latent_RD.std(axis=0), LEAST_SCALE)
        return cls(images, rows, latent_RD / scale_D, scale_D, scorer)

    def nearest(self, image_HWC: np.ndarray) -> list[np.ndarray]:
        """The five training images whose latents are nearest, the nearest first."""
        latent_D = self.scorer.reconstruct(image_HWC[None])[1]["latent"].reshape(-1) / self.scale_D
        places = np.argsort(np.square(self.latent_RD - latent_D).sum(axis=1))[:NEAREST]
        return [self.images.read(self.rows[[place]])[0] for place in places]


class Catalogue:
    """A run's scores of a test set, (N,) each by name, and explanations of single images."""

    def __init__(self, run: Path, where: str | None, device: Device = "auto") -> None:
        """Score the whole test set. Raises InputError if there is no such run, or it does not fit the data."""
        trained = TrainedRun.load(run, device)
        source = trained.open_source(where)
        self.name, self.data = run.resolve().name, source.name
        self.images = trained.open_test(source)
        self.labels: Labels | None = source.labels(len(self.images))
        predicted = score_images(trained.with_all_evidence(), self.images)
        scores = trained.calibration.scores(predicted.table)
        self.transductive = predicted.share is not None
        self.scores = {"score": predicted.score_N} | scores
        self.p_values = {name: trained.calibration.p_value(name, score_N) for name, score_N in scores.items()}
        self.p_values["score"] = predicted.p_value_N
        self.explainer = Explainer.for_images(trained, self.images)
        self.neighbourhood, self.note = None, ""
        try:
            self.neighbourhood = Neighbourhood.of(trained)
        except InputError as error:
            self.note = f"No nearest training images: {error}"
        self._busy = threading.Lock()

    def summary(self) -> dict[str, Any]:
        """What the page needs when it opens."""
        kinds = [] if self.labels is None else [str(kind) for kind in np.unique(self.labels.kind_N)]
        return {
            "name": self.name,
            "data": self.data,
            "total": len(self.images),
            "kinds": kinds,
            "columns": list(self.scores),
            "transductive": self.transductive,
            "note": self.note,
        }

    def listing(self, by: str, kind: str, ascending: bool, offset: int, limit: int) -> dict[str, Any]:
        """Up to `limit` images in the order of a score, from place `offset`. Raises InputError for unknown names."""
        if by not in self.scores:
            raise InputError(f"there is no score {by!r}; there are {', '.join(self.scores)}")
        order = np.argsort(self.scores[by] * (1 if ascending else -1), kind="stable")
        if kind:
            order = order[self.labels.kind_N[order] == kind] if self.labels is not None else order[:0]
        rows = order[offset : offset + limit]
        return {"total": len(order), "cards": [self._card(int(row), by) for row in rows]}

    def _card(self, row: int, by: str) -> dict[str, Any]:
        card: dict[str, Any] = {"id": row, "score": float(self.scores[by][row]), "p": float(self.p_values[by][row])}
        if self.labels is not None:
            card |= {"kind": str(self.labels.kind_N[row]), "anomalous": int(self.labels.label_N[row])}
        return card

    def image(self, row: int) -> np.ndarray:
        """A test image as the run sees it: uint8 (side, side, channels). Raises InputError if there is none."""
        if not 0 <= row < len(self.images):
            raise InputError(f"there is no image {row}; there are 0 to {len(self.images) - 1}")
        return self.images.read(np.array([row]))[0]

    def explain(self, row: int) -> dict[str, Any]:
        """Why a test image has its score."""
        explained = self._explained(self.image(row), f"image {row}")
        card = {"kind": None} | self._card(row, "score")  # of a transductive run, another score than the explained one
        card["rarity"] = rarity(card["p"], self.explainer.normals)
        return explained | card

    def score_upload(self, content: bytes) -> dict[str, Any]:
        """The score of a reader's own picture. Raises InputError if it is none, or too large."""
        full = self.images.array_NHWC.shape[1]
        with self._busy:  # one picture at a time is decoded, since a large one takes half a gigabyte
            image_HWC = read_upload(content, full, self.images.channels)
        # The picture is scaled to the data set's whole side first, then cropped as the run crops its images.
        start = (full - self.images.side) // 2
        inner = slice(start, start + self.images.side)
        return self._explained(np.ascontiguousarray(image_HWC[inner, inner]), "your image")

    def _explained(self, image_HWC: np.ndarray, name: str) -> dict[str, Any]:
        with self._busy:  # the threads of the server share one model
            explanation = self.explainer.explain(image_HWC[None], [name])[0]
            nearest = [] if self.neighbourhood is None else self.neighbourhood.nearest(image_HWC)
        return {
            "name": name,
            "score": explanation.score,
            "p": explanation.p_value,
            "rarity": explanation.rarity,
            "parts": explanation.parts,
            "shares": explanation.shares,
            "leanings": explanation.leanings,
            "pictures": [(part, data_uri(picture)) for part, picture in pictures(explanation)],
            "nearest": [data_uri(three_channels(image)) for image in nearest],
        }
