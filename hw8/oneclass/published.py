"""Published figures of the one-class protocol on well-known sets, for detectors trained from scratch on one class.

These are only figures that could be read in a text at hand, which `read_in` names; none was run here. Where the text
has the figures of classes only, the mean is over the ten of them. Figures that could not be read are in NOT_FOUND.
"""

import dataclasses
from typing import Any

from hw8.base.text import aligned

SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


@dataclasses.dataclass(frozen=True)
class PublishedFigure:
    """A paper's mean ROC-AUC over the ten classes, in [0, 1]; where it was read; how its protocol may differ."""

    method: str
    paper: str
    year: int
    mean_auc: float
    read_in: str
    note: str = ""


AGAD_1 = "quoted in Table 1 of AGAD: Adversarial Generative Anomaly Detection, from Cheng et al. 2020"
AGAD_2 = "quoted in Table 2 of AGAD: Adversarial Generative Anomaly Detection, at a share 0 of labelled anomalies"
SVDD_README = "mean of the ten classes that a public re-implementation's README gives for the original"
OOD_README = "mean of the ten classes in a public README's table of one-class CIFAR-10, beside CSI's"
OWN_README = "README of github.com/alinlab/CSI, section 4"

HYBRID = "SSAD hybrid, no labels", "Ruff et al., Deep Semi-Supervised Anomaly Detection, ICLR", 2020
NO_LABELS = "Deep SAD, no labels", *HYBRID[1:]
SVDD = "Deep SVDD", "Ruff et al., Deep One-Class Classification, ICML", 2018
OCGAN = "OCGAN", "Perera et al., OCGAN: One-Class Novelty Detection Using GANs, CVPR", 2019
GEOM = "GEOM", "Golan and El-Yaniv, Deep Anomaly Detection Using Geometric Transformations, NeurIPS", 2018
ROT_TRANS = "Rot+Trans", "Hendrycks et al., Using Self-Supervised Learning Can Improve Model Robustness, NeurIPS", 2019
CSI = "CSI", "Tack et al., CSI: Novelty Detection via Contrastive Learning, NeurIPS", 2020

FEATURES = "a one-class machine on an autoencoder's features"
AS_SVDD = "the authors' own later figure for what is Deep SVDD without labels"
PROTOCOLS = "the paper has two protocols, 80/20 and the set's own parts; the quotation does not say which"

PUBLISHED: dict[str, tuple[PublishedFigure, ...]] = {
    "mnist": (
        PublishedFigure(*NO_LABELS, 0.928, AGAD_2, AS_SVDD),
        PublishedFigure(*SVDD, 0.948, SVDD_README),
        PublishedFigure(*HYBRID, 0.963, AGAD_2, FEATURES),
        PublishedFigure(*OCGAN, 0.975, AGAD_1, PROTOCOLS),
        PublishedFigure(*GEOM, 0.980, AGAD_1),
    ),
    "fashion-mnist": (
        PublishedFigure(*NO_LABELS, 0.892, AGAD_2, AS_SVDD),
        PublishedFigure(*HYBRID, 0.912, AGAD_2, FEATURES),
        PublishedFigure(*GEOM, 0.935, AGAD_1, "images padded with zeros to 32x32, as here"),
    ),
    "cifar10": (
        PublishedFigure(
            "OC-SVM", "as quoted beside CSI's figures; its first source was not found", 2020, 0.588, OOD_README
        ),
        PublishedFigure(*NO_LABELS, 0.609, AGAD_2, AS_SVDD),
        PublishedFigure(*HYBRID, 0.638, AGAD_2, FEATURES),
        PublishedFigure(*SVDD, 0.648, f"{SVDD_README}; the same in {OOD_README}"),
        PublishedFigure(*OCGAN, 0.656, f"{AGAD_1}; the same in {OOD_README}", PROTOCOLS),
        PublishedFigure(*GEOM, 0.860, f"{AGAD_1}; the same in {OOD_README}"),
        PublishedFigure(*ROT_TRANS, 0.901, OOD_README, "0.900 when the authors of CSI ran it (their README)"),
        PublishedFigure(*CSI, 0.943, OWN_README, "its shifts include quarter turns"),
    ),
}
NOT_FOUND = {
    "mnist": "OC-SVM, KDE and DCAE (Ruff et al. 2018), MemAE (Gong et al. 2019)",
    "fashion-mnist": "OC-SVM and DCAE (Ruff et al. 2020), OCGAN (its protocol 1)",
    "cifar10": "KDE and DCAE (Ruff et al. 2018), MemAE (Gong et al. 2019)",
}


def figures(literature_name: str | None) -> list[dict[str, Any]]:
    """The published figures of a set as plain values; none for other sets."""
    items = [dataclasses.asdict(item) for item in PUBLISHED.get(literature_name or "", ())]
    # `found` is the name that readers of the JSON output know
    return [{"found" if key == "read_in" else key: value for key, value in item.items()} for item in items]


def comparison(literature_name: str | None, ours: str, mean_auc: float, complete: bool = True) -> str:
    """The published figures of a set with ours among them, as a table; for other sets, a line saying there are none.

    `complete` says whether ours is over all of the set's classes: if not, it is left out of the table.
    """
    if literature_name not in PUBLISHED:
        return "Published figures: none for this set; `compare_with` shows those of mnist, fashion-mnist or cifar10"
    items = list(PUBLISHED[literature_name])
    if complete:
        items.append(PublishedFigure(f"hw8 {ours}", "this run", 0, mean_auc, ""))
    rows: list[list[str]] = []
    for item in sorted(items, key=lambda item: item.mean_auc):
        rows.append([f"{item.mean_auc:.3f}", item.method, f"{item.year or ''}", item.paper])
        if item.read_in:
            rows.append(["", "", "", "; ".join(filter(None, (item.read_in, item.note)))])
    lines = [f"Published figures for {SETS[literature_name]}, mean ROC-AUC; the papers' own, not run here:"]
    lines += [f"  {line}" for line in aligned(rows, left=4)]
    if not complete:
        lines.append("  Ours is over some of the classes only, and not to be compared with these.")
    lines.append(f"  Not shown, for no text with the figure was at hand: {NOT_FOUND[literature_name]}.")
    return "\n".join(lines)
