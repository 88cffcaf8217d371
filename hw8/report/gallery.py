"""Which test images a page shows, and what it says of each."""

from typing import Any

import numpy as np

from hw8.base.progress import progress_bar
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.loader import in_batches
from hw8.data.splits import evenly_spaced
from hw8.report.explanation import Explainer
from hw8.report.figures import overlay, three_channels
from hw8.report.plots import groups_of
from hw8.report.sprites import data_uri, small, strip
from hw8.runs.predict import Scores
from hw8.runs.trained_run import TrainedRun

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
    images from the highest score down, and misses, anomalies from the lowest up, an equal number of each kind; where
    p-values are available only images on the wrong side of .05 are either.
    """
    rising = np.argsort(scores.score_N, kind="stable")
    falling = rising[::-1]
    groups = {"most": falling[:each], "least": rising[:each]}
    if labels is not None:
        flagged_N = scores.flagged()
        alarm_N = labels.label_N == 0 if flagged_N is None else (labels.label_N == 0) & flagged_N
        missed_N = labels.label_N == 1 if flagged_N is None else (labels.label_N == 1) & ~flagged_N
        groups["false_alarms"] = falling[alarm_N[falling]][:each]
        kinds = np.unique(labels.kind_N[labels.label_N == 1])
        share = -(-each // len(kinds))  # else the kind that is hardest to see would fill the group
        misses = [rising[(missed_N & (labels.kind_N == kind))[rising]][:share] for kind in kinds]
        groups["misses"] = rising[np.isin(rising, np.concatenate(misses))]
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
        "normals": [None] * len(methods),
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
    all_evidence: TrainedRun | None = None,
) -> list[dict[str, Any]]:
    """What the page says of each image in the groups of `choose`: its place, score, p-value, evidence and picture.

    Without an `explainer` the picture is the image alone. With `all_evidence`, the run that gives all evidence of its
    model, a card also has the p-values of that, by which a reader may sort.
    """
    order = np.argsort(-scores.score_N, kind="stable")
    rank_N = np.empty(len(order), int)
    rank_N[order] = np.arange(1, len(order) + 1)
    members = {name: set(rows.tolist()) for name, rows in groups.items()}
    card_list = []
    for rows_B in in_batches(np.unique(np.concatenate(list(groups.values()))), BATCH):
        pictures = _pictures(images.read(rows_B), explainer, all_evidence)
        for row, picture in zip(rows_B.tolist(), pictures, strict=True):
            card = {"id": row, "score": float(scores.score_N[row]), "rank": int(rank_N[row]), **picture}
            card["groups"] = [name for name, rows in members.items() if row in rows]
            if scores.p_value_N is not None:
                card["p"] = float(scores.p_value_N[row])
            if labels is not None:
                card |= {"kind": str(labels.kind_N[row]), "anomalous": int(labels.label_N[row])}
            card_list.append(card)
    return card_list


def with_maps(
    cards: list[dict[str, Any]], trained: TrainedRun, images: Images, groups: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """The same cards; the first few most anomalous images, false alarms and misses also have a map of their score.

    Not all of them: a map takes the time of scoring 120 images.
    """
    rows_N = np.unique(np.concatenate([groups[name][:SCORE_MAPS] for name in EXPLAINED if name in groups]))
    maps = {}
    with progress_bar(len(rows_N), "maps of scores", "img") as bar:
        for row, image_HWC in zip(rows_N.tolist(), images.read(rows_N), strict=True):
            maps[row] = overlay(image_HWC, trained.score_maps(image_HWC[None])[0])
            bar.update()
    return [card | {"map": data_uri(small(maps[card["id"]]))} if card["id"] in maps else card for card in cards]


def _pictures(
    batch_BHWC: np.ndarray, explainer: Explainer | None, all_evidence: TrainedRun | None
) -> list[dict[str, Any]]:
    """The picture of each image and the evidence behind its score."""
    if explainer is None:
        return [{"src": data_uri(small(three_channels(image_HWC))), "wide": False} for image_HWC in batch_BHWC]
    pictures: list[dict[str, Any]] = []
    # Rounded to what the page shows; full precision would only make it longer.
    for explanation in explainer.explain(batch_BHWC, [""] * len(batch_BHWC)):
        parts = {name: round(p, 5) for name, p in explanation.parts.items()}
        shares = {name: round(share, 3) for name, share in explanation.shares.items()}
        deviations = {name: round(value, 2) for name, value in explanation.deviations.items()}
        wide = explanation.recon_HWC is not None
        source = data_uri(small(strip(explanation)))
        evidence = {"words": explanation.words, "parts": parts, "shares": shares, "deviations": deviations}
        pictures.append({"src": source, "wide": wide, **evidence})
    if all_evidence is not None:
        calibration = all_evidence.calibration
        for name, score_B in calibration.scores(all_evidence.scorer.evidence(batch_BHWC)).items():
            for picture, p in zip(pictures, calibration.p_value(name, score_B), strict=True):
                picture.setdefault("all", {})[name] = round(float(p), 5)
    return pictures
