"""Which test images a page shows, and what it says of each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hw8.base.progress import progress_bar
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.loader import in_batches
from hw8.data.splits import evenly_spaced
from hw8.report.explanation import Explainer
from hw8.report.heatmaps import overlay, place_in_words, three_channels
from hw8.report.plots import groups_of
from hw8.report.sprites import data_uri, small, strip
from hw8.runs.scores import Scores
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import is_flagged

EXPLAINED = ("most", "false_alarms", "misses")  # groups of which one asks why an image is flagged, or is not
SCORE_MAPS = 12  # images of each with a map; chosen by hand: maps of all cards would take some five times as long
BATCH = 256  # images explained at once: bounds the memory of their reconstructions
GROUPS = {
    "most": "most anomalous",
    "least": "least anomalous",
    "false_alarms": "false alarms",
    "misses": "misses",
    "spread": "spread over all ranks",
}


def choose(scores: Scores, labels: Labels | None, each: int, spread: int) -> dict[str, np.ndarray]:
    """Rows of the test set worth looking at, by group, each in the order of interest.

    The `each` most and least anomalous images and `spread` images at even ranks. With labels also false alarms, normal
    images from the highest score down, and misses, an equal number of each kind as far as it has so many: anomalies
    that are not flagged, the nearest to the threshold first or, without p-values, those with the lowest scores.
    """
    rising = np.argsort(scores.score_N, kind="stable")
    falling = rising[::-1]
    groups = {"most": falling[:each], "least": rising[:each]}
    if labels is not None:
        flagged_N = scores.flagged()
        alarm_N, missed_N = labels.label_N == 0, labels.label_N == 1
        if flagged_N is not None:
            alarm_N, missed_N = alarm_N & flagged_N, missed_N & ~flagged_N
        groups["false_alarms"] = falling[alarm_N[falling]][:each]
        order = rising if flagged_N is None else falling
        missed = order[missed_N[order]]
        # By turns, else the kind that is hardest to see would fill the group.
        turn = pd.Series(missed).groupby(labels.kind_N[missed]).cumcount().to_numpy()
        groups["misses"] = missed[np.sort(np.argsort(turn, kind="stable")[:each])]
    return groups | {"spread": evenly_spaced(rising, spread)[::-1]}


def mistakes(scores: Scores, labels: Labels | None) -> dict[str, int]:
    """How many false alarms and misses there are in the whole test set; empty without p-values or labels."""
    flagged_N = scores.flagged()
    if labels is None or flagged_N is None:
        return {}
    return {
        "false_alarms": int((flagged_N & (labels.label_N == 0)).sum()),
        "misses": int((~flagged_N & (labels.label_N == 1)).sum()),
    }


def gallery(methods: list[tuple[Scores, list[dict[str, Any]]]], labels: Labels | None, **more: Any) -> Any:
    """What the page's script shows and sorts: each method's cards, and what they are chosen from."""
    unlabelled = {"most", "least", "spread"}
    first = methods[0][0].score_N if methods else np.empty(0)
    return {
        "methods": [scores.name for scores, _ in methods],
        "kinds": [] if labels is None or not methods else list(groups_of(first, labels)),
        "groups": {group: text for group, text in GROUPS.items() if labels is not None or group in unlabelled},
        "columns": [],
        "calibration_counts": [None] * len(methods),
        "total": len(first),
        "totals": [mistakes(scores, labels) for scores, _ in methods],
        "cards": [card | {"method": place} for place, (_, cards) in enumerate(methods) for card in cards],
        **more,
    }


def with_files(cards: list[dict[str, Any]], files: list[str] | None) -> list[dict[str, Any]]:
    """The same cards with the file names of their pictures, where these are known."""
    return cards if files is None else [card | {"file": files[card["id"]]} for card in cards]


def cards(
    scores: Scores,
    images: Images,
    labels: Labels | None,
    explainer: Explainer | None,
    groups: dict[str, np.ndarray],
    p_values: Mapping[str, np.ndarray] | None = None,
) -> list[dict[str, Any]]:
    """What the page says of each image in the groups of `choose`: its place, score, p-value, evidence and picture.

    Without an `explainer` the picture is the image alone. The `p_values` of other scores, (N,) each, are those by which
    a reader may sort.
    """
    order = np.argsort(-scores.score_N, kind="stable")
    rank_N = np.empty(len(order), int)
    rank_N[order] = np.arange(1, len(order) + 1)
    rows_by_group = {name: set(rows.tolist()) for name, rows in groups.items()}
    card_list = []
    for rows_B in in_batches(rows_of(groups), BATCH):
        pictures = _pictures(images.read(rows_B), explainer)
        for row, picture in zip(rows_B.tolist(), pictures, strict=True):
            card = {"id": row, "score": float(scores.score_N[row]), "rank": int(rank_N[row]), **picture}
            card["groups"] = [name for name, rows in rows_by_group.items() if row in rows]
            if scores.p_value_N is not None:
                card |= {"p": float(scores.p_value_N[row]), "flagged": bool(is_flagged(scores.p_value_N[row]))}
            if p_values is not None:
                card["all"] = {name: round(float(p_value_N[row]), 5) for name, p_value_N in p_values.items()}
            if labels is not None:
                card |= {"kind": str(labels.kind_N[row]), "anomalous": int(labels.label_N[row])}
            card_list.append(card)
    return card_list


def rows_of(groups: dict[str, np.ndarray]) -> np.ndarray:
    """The rows of all groups, each once, rising."""
    return np.unique(np.concatenate([*groups.values()]))


def explained_rows(groups: dict[str, np.ndarray]) -> np.ndarray:
    """The first few most anomalous images, false alarms and misses, of which a reader asks first for their reasons."""
    return np.unique(np.concatenate([groups[name][:SCORE_MAPS] for name in EXPLAINED if name in groups]))


def with_maps(
    cards: list[dict[str, Any]], trained: TrainedRun, images: Images, rows_N: np.ndarray
) -> list[dict[str, Any]]:
    """The same cards, those of these rows with a map of their score, which takes the time of scoring 120 images."""
    maps: dict[int, dict[str, str]] = {}
    with progress_bar(len(rows_N), "maps of scores", "img") as bar:
        for row, image_HWC in zip(rows_N.tolist(), images.read(rows_N), strict=True):
            maps[row] = drawn_map(trained, image_HWC)
            bar.update()
    return [card | maps.get(card["id"], {}) for card in cards]


def drawn_map(trained: TrainedRun, image_HWC: np.ndarray) -> dict[str, str]:
    """Where an image's score comes from: a picture, and how much of the score that is in words."""
    map_HW = trained.score_maps(image_HWC[None])[0]
    score = float(trained.run_score(trained.scorer.evidence(image_HWC[None]))[0])
    return {"map": data_uri(small(overlay(image_HWC, map_HW))), "place": place_in_words(map_HW, score)}


def _pictures(batch_BHWC: np.ndarray, explainer: Explainer | None) -> list[dict[str, Any]]:
    """The picture of each image and the evidence behind its score."""
    if explainer is None:
        return [{"src": data_uri(small(three_channels(image_HWC))), "wide": False} for image_HWC in batch_BHWC]
    pictures: list[dict[str, Any]] = []
    # Rounded to what the page shows; full precision would only make it longer.
    for explanation in explainer.explain(batch_BHWC, [""] * len(batch_BHWC)):
        parts = {name: round(p, 5) for name, p in explanation.p_values.items()}
        shares = {name: round(share, 3) for name, share in explanation.shares.items()}
        deviations = {name: round(value, 2) for name, value in explanation.deviations.items()}
        wide = explanation.recon_HWC is not None
        source = data_uri(small(strip(explanation)))
        evidence = {"words": explanation.words, "parts": parts, "shares": shares, "deviations": deviations}
        added = {name: round(share, 3) for name, share in explanation.added.items()}
        pictures.append({"src": source, "wide": wide, **evidence, "added": added})
    return pictures
