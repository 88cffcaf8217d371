"""Figures that every part which decides a score gives on fixed input: `tests/data/golden/figures.json` holds them.

They were not derived by hand: the tests of the formulas do that. They tell a change that was not meant, in a constant
as in a sign, and are written anew (`python -m tests.golden_figures`) by a commit that means one and measures it.
"""

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable
from unittest import mock

import numpy as np
import pandas as pd
import torch

from hw8.compare import standings
from hw8.config import ScoreConfig
from hw8.config.presets import changed, load_preset
from hw8.data import splits
from hw8.data.arrays import Images
from hw8.data.labels import Labels
from hw8.data.loader import epoch_batches, mirror_mask
from hw8.data.splits import reference_rows, split_rows
from hw8.evaluation import held_out, metrics, paired
from hw8.evaluation.held_out import evaluate_held_out
from hw8.evaluation.metrics import evaluate
from hw8.models import MODELS, create_model, transformations
from hw8.models.losses import LOSSES, objective
from hw8.models.transformations import Chances, transform
from hw8.runs import health, train
from hw8.scoring import appearance, calibration, evidence, fusion, tails, texture, transductive
from hw8.scoring.appearance import Appearance
from hw8.scoring.calibration import Calibration
from hw8.scoring.inference import Scorer
from hw8.scoring.transductive import Sample, Transducer
from hw8.training import loop
from hw8.training.schedule import learning_rate, with_enough_steps
from tests.golden import GOLDEN, images

FIGURES = GOLDEN / "figures.json"
CPU = torch.device("cpu")
# Numbers that were chosen by measuring: one that changes is measured anew.
CHOSEN = {
    transductive: ("FOLDS", "PENALTY_C", "OWN_SCALE", "MIN_Z"),
    appearance: ("MEASURED", "COMPARED", "BATCH", "MIN_SPREAD", "FAR_SPREADS", "COPIES_SHARE", "TRAINING_SHARE"),
    health: ("LOOKED_AT", "SAME", "DEAD", "LITTLE"),
    evidence: ("TOP", "GRID", "WINDOW", "CONSTANTS"),
    calibration: ("FOLDS", "SEED", "CLIPPED_AT", "NEIGHBOURS", "MAX_COLUMNS", "MIN_VARIANCE"),
    splits: ("MIN_IMAGES", "FIT_IMAGES", "MIN_HELD_OUT"),
    held_out: ("PER_KIND", "SEED"),
    loop: ("LOG_EVERY", "STILL"),
}
# Options under which more of a model's lines run.
OPTIONS: dict[str, list[dict[str, object]]] = {
    "vae": [{"warmup": 0}, {"warmup": 0, "likelihood": "bernoulli"}],
    "memae": [{}, {"slots": 16}],
}


def pictures(count: int, side: int = 32, seed: int = 2) -> np.ndarray:
    """Golden images of another side: uint8 (count, side, side, 3)."""
    return images(count, seed).repeat(side // 16, 1).repeat(side // 16, 2)


def pixels(count: int, side: int = 32, seed: int = 2) -> torch.Tensor:
    """The same in [-1, 1], channels first."""
    return torch.from_numpy(pictures(count, side, seed)).permute(0, 3, 1, 2).float() / 127.5 - 1


def checksums(x: torch.Tensor) -> list[float]:
    """Means of the values, of their squares, and of them under fixed weights that tell places apart."""
    flat = x.detach().double().flatten()
    weights = torch.cos(torch.arange(len(flat), dtype=torch.float64) * 0.7)
    return [flat.mean().item(), flat.square().mean().item(), (flat * weights).mean().item()]


def of_model(name: str, options: dict[str, object]) -> dict[str, list[float]]:
    """A step of training, and all evidence after it."""
    torch.manual_seed(0)
    model = create_model(name, 32, 3, dict(options))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    found = {}
    for step in range(2):
        output = model.train()(pixels(6))
        loss = objective("mse", output, pixels(6)).mean()
        optimizer.zero_grad()
        loss.backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.cat(gradients)).item()
        found[f"step {step}"] = [loss.item(), norm, *(value.mean().item() for value in output.terms.values())]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        said = evidence.evidence(model.eval(), pixels(6, seed=3), model(pixels(6, seed=3)))
    return found | {key: checksums(value) for key, value in said.items()}


def of_changes() -> dict[str, list[float]]:
    """Every graded change, turn and damage, and all together."""
    found = {}
    for seed in range(4):
        for name, chances in {"usual": Chances(), "often": Chances(0.0, 0.8, 0.9, 0.9)}.items():
            torch.manual_seed(seed)
            done = transform(pixels(40, 64 if seed == 0 else 32), chances)
            parts = (done.x_NCHW, done.amount_NP, done.turn_N.float(), done.damage_N.float())
            found[f"{name} {seed}"] = [value for part in parts for value in checksums(part)]
    names = transformations.parameter_names(3)
    x_NCHW = pixels(4)
    for at, name in enumerate(names):
        amount = {other: torch.zeros(4) for other in names} | {name: torch.tensor([-0.9, -0.3, 0.4, 1.0])}
        torch.manual_seed(at)
        still = torch.zeros(4, dtype=torch.long)
        y_NCHW = transformations._moved(x_NCHW.clone(), amount, still, torch.zeros(4, dtype=torch.bool))
        y_NCHW = transformations._smoothed(y_NCHW, amount["smoothness"])
        y_NCHW = transformations._textured(transformations._toned(y_NCHW, amount), amount)
        found[name] = [value for image in y_NCHW for value in checksums(image)]
    torch.manual_seed(9)
    found["boxes"] = checksums(transformations.boxes(20, 32, 32, CPU, 0.2, 0.5).float())
    grid_NHW2 = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="xy"), -1)
    found["bump"] = checksums(
        transformations.bump(grid_NHW2.expand(20, -1, -1, -1), 0.15, *transformations.pulls(20, grid_NHW2.device))
    )
    return found


def of_texture() -> dict[str, list[float]]:
    """Statistics of images in colour and in grey, and every error."""
    x_NCHW, y_NCHW = pixels(6), pixels(6, seed=4)
    found = {}
    for name, part in {"colour": x_NCHW, "grey": x_NCHW[:, :1]}.items():
        found[f"bands, {name}"] = checksums(texture.band_energies(part))
        found[f"co-occurrence, {name}"] = checksums(texture.cooccurrence(part))
    found["opponent"] = checksums(texture.opponent(x_NCHW))
    return found | {name: checksums(error(y_NCHW, x_NCHW)) for name, error in evidence.ERRORS.items()}


def scores_of(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Skewed numbers with some ties."""
    return np.round(np.random.RandomState(seed).gamma(2.0, 1.0, count) + shift, 2)


def of_calibration() -> dict[str, list[float]]:
    """Distances, p-values, tails and fusion."""
    random = np.random.RandomState(0)
    mixing = random.normal(size=(5, 5))
    tables = [
        {"number": scores_of(seed, count), "vector": random.standard_t(5, (count, 5)) @ mixing}
        for seed, count in ((1, 60), (2, 25), (3, 90))
    ]
    found: dict[str, list[float]] = {}
    fused = ("number", "vector")
    for distance in ("mahalanobis", "neighbours", "euclidean"):
        for reference in (None, tables[2]):
            fit = Calibration.fit(
                tables[0], ScoreConfig(parts=("number", "vector"), fused=fused, distance=distance), reference
            )
            case = f"{distance}, reference {reference is not None}"
            for name, score_N in fit.scores(tables[1]).items():
                kept = Calibration.from_tensors(
                    fit.tensors(), ScoreConfig(name, parts=("number", "vector"), fused=fused), "golden"
                )
                found[f"{case}: {name}"] = [
                    *score_N[:4], score_N.mean(), fit.values_C[name].mean(), fit.p_value(name, score_N).mean(),
                    fit.neg_log_p(name, score_N).mean(), kept.scores(tables[1])[name].mean(),
                ]  # fmt: skip
    normals = [scores_of(seed, 40) for seed in range(3)]
    far_N = np.linspace(-2, 30, 17)
    found["tail"] = [*tails.Tail.fit(normals[0]).neg_log_p(far_N), *tails.leave_one_out_neg_log_p(normals[0])[:8]]
    found["tail of ties"] = list(
        tails.Tail.fit(np.repeat([0.0, 1.0], [85, 15])).neg_log_p(np.array([0.5, 1, 1.0001, 2]))
    )
    found["conformal"] = list(tails.conformal(normals[0], far_N))
    groups = fusion.agreeing_groups(fusion.rank_correlation([normals[0], normals[0] ** 2 + 0.01, normals[2]]))
    found["opinions"] = [float(member) for group in groups for member in (len(group), *group)]
    neg_log_ps = [tails.Tail.fit(normal_C).neg_log_p(far_N) for normal_C in normals]
    found["fused"] = [*fusion.fuse(neg_log_ps, [[0, 1], [2]])]
    found["fused p"] = list(fusion.fused_p_values(found["fused"], normals, [[0, 1], [2]]))
    return found


def of_transduction() -> dict[str, list[float]]:
    """What classifiers say of simulated columns and of pictures, and what becomes of it."""
    random = np.random.RandomState(0)
    logit_C, logit_N = transductive.log_odds(*(random.normal(size=(count, 8)) for count in (60, 30, 40)), 0)
    found = {"log-odds": [*logit_C, *logit_N]}
    for name, least_z in {"found": -50.0, "unsure": 50.0}.items():
        with mock.patch.object(transductive, "MIN_Z", least_z):
            done = transductive.choose_scores(logit_C, logit_N, scores_of(4, 30), scores_of(5, 40))
        found[name] = [done.share, *done.score_N[:12], *done.p_value_N[:12]]
    torch.manual_seed(0)
    scorer = Scorer(create_model("recogniser", 32, 3, {}), CPU, "fp32", 16, ["amounts"])
    sample = Sample(Images(pictures(30)), np.arange(30))
    calibrated = Calibration.fit(scorer.table(sample.images, sample.rows), ScoreConfig())
    with contextlib.redirect_stderr(io.StringIO()):
        column_ND = Transducer(scorer, calibrated, "amounts", 0).describe(sample)
    found["columns"] = [*checksums(torch.from_numpy(column_ND)), *column_ND[:8, -1]]
    return found


def of_measures() -> dict[str, list[float]]:
    """ROC-AUC with its intervals, differences, and standings."""
    kind_N = np.repeat(["normal", "spot", "line"], [50, 20, 15])
    labels = Labels((kind_N != "normal").astype(np.int64), kind_N)
    ours, theirs, third = (
        scores_of(seed, 85) + (kind_N != "normal") * size for seed, size in ((6, 1.5), (7, 1.0), (8, 1.2))
    )
    base_N = np.concatenate([np.arange(50), np.arange(20), np.arange(15)])
    found = {}
    for name, image_N in {"alone": None, "copies": base_N}.items():
        numbers = pd.json_normalize(evaluate(ours, labels, image_N).as_json()).select_dtypes("number")
        found[name] = [float(value) for value in numbers.to_numpy()[0]]
    found["fpr"] = [metrics.fpr_at_tpr(ours[:50], ours[50:], tpr) for tpr in (0.5, 0.9, 0.95)]
    found["components"] = [part.mean() for part in metrics.delong_components(ours[:50], ours[50:])]
    for name, pair in {"one seed": ([ours], [theirs]), "two seeds": ([ours, third], [theirs, third * 2])}.items():
        difference = paired.paired_difference(*pair, labels)
        found[name] = [*difference.interval(), *difference.interval(6)]
    every = paired.differences_from("a", {"a": [ours], "b": [theirs], "c": [third]}, labels)
    found |= {f"from a: {name}": list(values) for name, values in every.items()}
    rows = pd.DataFrame({
        "preset": ["conv", "conv", "fcn", "vae", "pca", "memae"], "seed": [0, 1, 0, 0, 0, 0],
        "macro_auc": [0.7, 0.74, 0.6, 0.65, 0.62, 0.71], "held_out_auc": [0.8, 0.82, 0.66, 0.71, 0.73, 0.75],
        "same": ["a", "a", "b", "c", "d", "e"], "failure": [np.nan] * 6,
    })  # fmt: skip
    table = standings.summarise(rows)
    found["summary"] = [float(value) for value in table.drop(columns=["preset", "same"]).fillna(-1).to_numpy().ravel()]
    ranks = standings.held_out_rank_correlation(table)
    found["ranks"] = [ranks.every, ranks.rows, ranks.better, ranks.better_rows]
    return found


def of_cuts() -> dict[str, list[float]]:
    """Splits, batches, mirrored rows, and the schedule."""
    found = {}
    usual = load_preset("fcn").data
    cuts = {"small": (60, usual), "large": (9_000, usual), "seed": (300, dataclasses.replace(usual, split_seed=3))}
    for name, (count, config) in cuts.items():
        parts = dataclasses.astuple(split_rows(count, config))
        found[name] = [float(number) for part in parts for number in (len(part), part.sum(), *part[:3])]
        found[f"{name}, references"] = [float(len(reference_rows(split_rows(count, config))))]
    found["batches"] = [
        float(row) for batch in epoch_batches(np.arange(23) * 2, 5, 1, 2) for row in (len(batch), *batch)
    ]
    found["mirrored"] = [float(row) for row in mirror_mask(20, 1, 2)]
    config = load_preset("boss").train
    found["learning rate"] = [learning_rate(step, 200, config) for step in range(0, 200, 9)]
    found["paced"] = [float(with_enough_steps(config, rows).epochs) for rows in (40, 500, 20_000)]
    return found


def of_training() -> dict[str, list[float]]:
    """Losses, norms, scores and held-out figures of two short trainings on the CPU, and what is said of looks."""
    found = {}
    data = Images(images(150, 0))
    for flip, loss in ((True, "mse"), (False, "l1")):
        small = changed(
            load_preset("fcn"), data={"flip": flip, "held_out_minimum": 30, "crop": None},
            model={"options": {"widths": [16], "latent": 4}},
            train={"epochs": 2, "least_steps": 0, "batch_size": 16, "loss": loss, "clip_norm": 0.2},
        )  # fmt: skip
        config = dataclasses.replace(small, device="cpu", precision="fp32")
        with contextlib.redirect_stderr(io.StringIO()), mock.patch("hw8.training.loop.LOG_EVERY", 3):
            trainer = train.build(config, data, split_rows(len(data), config.data))
            trainer.fit()
        for row in trainer.state.progress.history:
            named = {name: row[name] for name in row if name not in ("images_per_second", "seconds", "threads")}
            found[f"{loss}, epoch {row['epoch']}"] = list(map(float, named.values()))
        run = train.calibrate(trainer)
        rows = trainer.splits.development
        for name, score_N in run.with_all_evidence().score(data, rows).items():
            found[f"{loss}: {name}"] = checksums(torch.from_numpy(score_N))
        worth = evaluate_held_out(run.score, data, rows)[run.score_name]
        found[f"{loss}: held-out"] = [worth.common.macro.auc, worth.common.macro.low, worth.unseen.macro.high]
        diagnosed = Scorer(trainer.state.average, CPU, "fp32", 16).diagnose(data, rows) if flip else {}
        found[f"{loss}: diagnosed"] = list(diagnosed.values())
        look = Appearance.of(data, trainer.splits)
        found[f"{loss}: look"] = [*look.value_MK.mean(0), len(look.digest_K), look.total]
    return found


def of_losses() -> dict[str, list[float]]:
    """Every reconstruction loss."""
    return {name: checksums(loss(pixels(4, seed=7), pixels(4))) for name, loss in LOSSES.items()}


def constants() -> dict[str, list[float]]:
    """The numbers of `CHOSEN`."""
    return {
        f"{module.__name__}.{name}": list(map(float, np.ravel(getattr(module, name))))
        for module, names in CHOSEN.items()
        for name in names
    }


PARTS: dict[str, Callable[[], dict[str, list[float]]]] = {
    "changes": of_changes,
    "texture": of_texture,
    "losses": of_losses,
    "calibration": of_calibration,
    "transduction": of_transduction,
    "measures": of_measures,
    "cuts": of_cuts,
    "training": of_training,
    "constants": constants,
} | {
    f"{name} {options}" if options else name: lambda name=name, options=options: of_model(name, options)
    for name in sorted(MODELS)
    for options in OPTIONS.get(name, [{}])
}


def main() -> None:
    """Write the figures of the code as it stands."""
    found = {part: of_part() for part, of_part in PARTS.items()}
    lines = []
    for part, figures in found.items():
        short = {name: [float(f"{value:.7g}") for value in values] for name, values in figures.items()}
        rows = [f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in short.items()]
        lines.append(f" {json.dumps(part)}: {{\n" + ",\n".join(rows) + "\n }")
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
