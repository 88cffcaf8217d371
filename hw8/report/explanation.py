"""Why an image has its score: which evidence is how unusual, its reconstruction and its error map."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.data.arrays import Images, scaled
from hw8.data.splits import evenly_spaced
from hw8.report.figures import new_figure, save_figure, show_image
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import TWO_SIDED, needed_evidence
from hw8.scoring.tails import rarity

SAMPLE = 256
CLEAREST = 6


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One image's score and the evidence behind it.

    `parts`: p-value of each piece of evidence alone. `leanings`: named measurements that are furthest from the normals'
    median, in units of the normals' spread. `error_HW`: squared error summed over channels, None without a
    reconstruction; `scale` is the same for every image of the data set. `normals` is the number of calibration images
    behind the p-values.
    """

    name: str
    score: float
    p_value: float
    parts: dict[str, float]
    leanings: dict[str, float]
    image_HWC: np.ndarray
    recon_HWC: np.ndarray | None
    error_HW: np.ndarray | None
    scale: float
    normals: int

    @property
    def rarity(self) -> str:
        """The p-value in words."""
        return rarity(self.p_value, self.normals)

    def lines(self) -> list[str]:
        """The explanation in words."""
        found = [f"{self.name}: score {self.score:.4g}; {self.rarity} (p = {self.p_value:.4f})"]
        found += [f"  {name:<20} p = {p:.4f}" for name, p in sorted(self.parts.items(), key=lambda item: item[1])]
        if self.leanings:
            found.append("what stands out, in units of the normals' spread:")
            found += [f"  {name:<20} {value:+.1f}" for name, value in self.leanings.items()]
        return found


@dataclasses.dataclass(frozen=True)
class Explainer:
    """Explains scores of a run's images; their error maps share one colour scale, from 0 to `scale`."""

    trained: TrainedRun
    scale: float

    @property
    def normals(self) -> int:
        """Calibration images behind the p-values."""
        return len(self.trained.calibration.values_C[self.trained.score_name])

    @classmethod
    def for_images(cls, trained: TrainedRun, images: Images) -> "Explainer":
        """With the error that all but one in two hundred pixels stay below, from 256 images spread over the set."""
        rows = evenly_spaced(np.arange(len(images)), SAMPLE)
        batch_BHWC = images.read(rows)
        recon_BHWC, _ = trained.scorer.reconstruct(batch_BHWC)
        if recon_BHWC is None:
            return cls(trained, 1.0)
        errors = np.square(recon_BHWC - scaled(batch_BHWC)).sum(axis=3)
        return cls(trained, max(1e-6, float(np.quantile(errors, 0.995))))

    def explain(self, batch_BHWC: np.ndarray, names: Sequence[str]) -> list[Explanation]:
        """Explain the scores of uint8 images (B, side, side, C), cropped as the run takes them.

        Of a transductive run it explains the score before the transduction.
        """
        trained, calibration = self.trained, self.trained.calibration
        recon_BHWC, table = trained.scorer.reconstruct(batch_BHWC)
        scores = calibration.scores(table)
        score_B = scores[trained.score_name]
        p_value_B = calibration.p_value(trained.score_name, score_B)
        keys = {}
        for name in needed_evidence(trained.config.scoring.score, trained.config.scoring.parts):
            keys[name] = name + TWO_SIDED if name + TWO_SIDED in scores else name
        parts = {name: calibration.p_value(key, scores[key]) for name, key in keys.items()}
        leanings = self._leanings(table, len(batch_BHWC))
        found = []
        for row, (name, image_HWC) in enumerate(zip(names, batch_BHWC, strict=True)):
            recon_HWC = None if recon_BHWC is None else recon_BHWC[row]
            error_HW = None if recon_HWC is None else np.square(recon_HWC - scaled(image_HWC)).sum(axis=2)
            here = {part: float(p_B[row]) for part, p_B in parts.items()}
            leaning, score, p_value = leanings[row], float(score_B[row]), float(p_value_B[row])
            item = Explanation(
                name, score, p_value, here, leaning, image_HWC, recon_HWC, error_HW, self.scale, self.normals
            )
            found.append(item)
        return found

    def _leanings(self, table: dict[str, np.ndarray], count: int) -> list[dict[str, float]]:
        """Of each image the named columns that lie furthest from the normals' median."""
        found: list[dict[str, float]] = [{} for _ in range(count)]
        for name, labels in self.trained.scorer.model.components().items():
            if name in table and name in self.trained.calibration.fits:
                standard_BD = self.trained.calibration.fits[name].standardise(table[name].astype(np.float64))
                for mine, standard_D in zip(found, standard_BD, strict=True):
                    mine |= dict(zip(labels, map(float, standard_D), strict=True))
        return [dict(sorted(mine.items(), key=lambda item: -abs(item[1]))[:CLEAREST]) for mine in found]


def explain(run: Path, where: str | None, row: int) -> Explanation:
    """Explain the score of one test image. Raises InputError if there is no such run, data or image."""
    trained = TrainedRun.load(run)
    images = trained.open_test(trained.open_source(where))
    if not 0 <= row < len(images):
        raise InputError(f"`id` {row}: {images.name} has images 0 to {len(images) - 1}")
    return Explainer.for_images(trained, images).explain(images.read(np.array([row])), [f"image {row}"])[0]


def draw_explanation(path: Path, found: Explanation) -> None:
    """The image, its reconstruction, its error map, and how unusual each piece of evidence is."""
    figure = new_figure(9, 2.6)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.6))
    show_image(axes[0], found.image_HWC, found.name)
    if found.recon_HWC is not None and found.error_HW is not None:
        show_image(axes[1], ((found.recon_HWC + 1) / 2).clip(0, 1), "reconstruction")
        axes[2].imshow(found.error_HW, cmap="magma", vmin=0, vmax=found.scale)
        axes[2].set_title("error", fontsize=8)
    for axis in axes[1:3]:
        axis.set_xticks([])
        axis.set_yticks([])
    names = sorted(found.parts, key=lambda name: found.parts[name], reverse=True)
    axes[3].barh(names, [-np.log10(found.parts[name]) for name in names], color="tab:red")
    axes[3].axvline(-np.log10(0.05), color="grey", linewidth=0.8, linestyle=":")
    axes[3].set_title(f"how unusual: -log10 p (dotted: 0.05); all: p = {found.p_value:.4f}", fontsize=8)
    axes[3].tick_params(labelsize=8)
    save_figure(figure, path)
