"""Which test images a page shows, and what it says of each."""

import dataclasses
from typing import Any

import numpy as np

from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.splits import evenly_spaced
from hw8.report.explanation import Explainer
from hw8.report.sprites import data_uri, small, strip, three_channels
from hw8.runs.predict import ALPHA
from hw8.runs.trained_run import TrainedRun

BATCH = 256
GROUPS = {
    "most": "most anomalous",
    "least": "least anomalous",
    "false_alarms": "false alarms",
    "misses": "misses",
    "spread": "spread over all ranks",
}


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A method's scores of the test set (N,), larger is more anomalous, and their p-values where there are any."""

    name: str
    score_N: np.ndarray
    p_value_N: np.ndarray | None


def choose(scored: Ranking, labels: Labels | None, each: int, spread: int) -> dict[str, np.ndarray]:
    """Rows of the test set worth looking at, by group, each in the order of interest.

    The `each` most and least anomalous images; with labels false alarms, normal images in the order of their score,
    and misses, anomalies against the order, as many of each kind; where p-values are known only images on the wrong
    side of .05 are either. And `spread` images at even ranks.
    """
    order = np.argsort(scored.score_N, kind="stable")
    found = {"most": order[::-1][:each], "least": order[:each]}
    if labels is not None:
        flagged_N = np.ones(len(order), bool) if scored.p_value_N is None else scored.p_value_N <= ALPHA
        missed_N = np.ones(len(order), bool) if scored.p_value_N is None else ~flagged_N
        found["false_alarms"] = order[::-1][((labels.label_N == 0) & flagged_N)[order[::-1]]][:each]
        kinds = np.unique(labels.kind_N[labels.label_N == 1])
        share = -(-each // len(kinds))
        parts = [order[((labels.kind_N == kind) & missed_N)[order]][:share] for kind in kinds]
        misses = np.concatenate(parts)
        found["misses"] = misses[np.argsort(scored.score_N[misses], kind="stable")]
    return found | {"spread": evenly_spaced(order, spread)[::-1]}


def mistakes(scored: Ranking, labels: Labels | None) -> dict[str, int]:
    """How many false alarms and misses there are in the whole test set, where p-values and labels tell."""
    if labels is None or scored.p_value_N is None:
        return {}
    flagged_N = scored.p_value_N <= ALPHA
    return {
        "false_alarms": int((flagged_N & (labels.label_N == 0)).sum()),
        "misses": int((~flagged_N & (labels.label_N == 1)).sum()),
    }


def cards(
    scored: Ranking,
    images: Images,
    labels: Labels | None,
    explainer: Explainer | None,
    chosen: dict[str, np.ndarray],
    everything: TrainedRun | None = None,
) -> list[dict[str, Any]]:
    """What the page says of each chosen image, a row an image: its place, score, p-value, evidence and picture.

    Without an `explainer` the picture is the image alone. `everything` gives p-values of all the evidence there is,
    by which a reader may sort.
    """
    rows = np.unique(np.concatenate(list(chosen.values())))
    groups = {name: set(found.tolist()) for name, found in chosen.items()}
    rank_N = np.empty(len(scored.score_N), int)
    rank_N[np.argsort(-scored.score_N, kind="stable")] = np.arange(1, len(rank_N) + 1)
    found = []
    for start in range(0, len(rows), BATCH):
        here = rows[start : start + BATCH]
        pictures = _pictures(images.read(here), explainer, everything)
        for row, picture in zip(here.tolist(), pictures, strict=True):
            card = {"id": row, "score": float(scored.score_N[row]), "rank": int(rank_N[row]), **picture}
            card["groups"] = [name for name in groups if row in groups[name]]
            if scored.p_value_N is not None:
                card["p"] = float(scored.p_value_N[row])
            if labels is not None:
                card |= {"kind": str(labels.kind_N[row]), "anomalous": int(labels.label_N[row])}
            found.append(card)
    return found


def _pictures(
    batch_BHWC: np.ndarray, explainer: Explainer | None, everything: TrainedRun | None
) -> list[dict[str, Any]]:
    """The picture of each image and the evidence behind its score."""
    if explainer is None:
        return [{"src": data_uri(small(three_channels(image_HWC))), "wide": False} for image_HWC in batch_BHWC]
    found: list[dict[str, Any]] = []
    for item in explainer.explain(batch_BHWC, [""] * len(batch_BHWC)):
        parts = {name: round(p, 5) for name, p in item.parts.items()}
        leanings = {name: round(value, 2) for name, value in item.leanings.items()}
        wide = item.recon_HWC is not None
        found.append({"src": data_uri(small(strip(item))), "wide": wide, "parts": parts, "leanings": leanings})
    if everything is not None:
        scores = everything.calibration.scores(everything.scorer.reconstruct(batch_BHWC)[1])
        for name, score_B in scores.items():
            for card, p in zip(found, everything.calibration.p_value(name, score_B), strict=True):
                card.setdefault("all", {})[name] = round(float(p), 5)
    return found
