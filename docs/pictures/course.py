"""Draws the pictures of the course (docs/course/) into docs/pictures/course/, and prints the figures that it quotes.

    python docs/pictures/course.py              all pictures
    python docs/pictures/course.py near 24-near only these

From the root of the repository, on the generated faces (`--data demo`). The chapters' own trainings, listed in RUNS,
are taken from runs/course/, and made first where they are missing: about seven minutes of one core in all.
"""

import functools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm
from sklearn.decomposition import PCA

from hw8.data.arrays import Images, scaled, to_pixels
from hw8.data.labels import NORMAL, Labels
from hw8.data.sources import open_source
from hw8.evaluation.metrics import roc_auc
from hw8.models.noise import CORRUPTIONS_BY_NAME, noise_shape
from hw8.report.heatmaps import heat
from hw8.report.plots import COLOURS, NORMAL_COLOUR, new_figure
from hw8.report.samples import sample, tiled
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.tails import ALPHA, conformal

FOLDER = Path(__file__).parent / "course"
RUNS = {  # options of scripts/train.py, as in the chapters
    "squared": "--preset fcn_crop --epochs 10",
    "entropy": "--preset fcn_bce --epochs 10",
    "gaussian": "--preset denoise_gaussian --backbone fcn --epochs 30",
    "salt_pepper": "--preset denoise_salt_pepper --backbone fcn --epochs 30",
    "mask": "--preset denoise_mask --backbone fcn --epochs 30",
    "dropout": "--preset denoise_dropout --backbone fcn --epochs 30",
    "vae": "--preset vae",
    "recogniser": "--widths 16 32 48 64 --epochs 3 --optimizer adamw --lr 0.002",
}
DENOISERS = {"gaussian": "Gaussian", "salt_pepper": "salt, pepper", "mask": "masking", "dropout": "dropout"}
KINDS = (NORMAL, "relit", "displaced", "cartoon", "cat")
COLOUR = {NORMAL: NORMAL_COLOUR} | dict(zip(sorted(KINDS[1:]), COLOURS, strict=False))  # as in a report
COUNTS = (8, 4, 4, 4, 4)  # the 24 images by kind
FIVE = ("squared", "entropy", "gaussian", "vae", "recogniser")  # runs that the last chapter compares
SEED = 8  # of every choice here
PICTURES: dict[str, Callable[[], None]] = {}


def picture(draw: Callable[[], Figure]) -> Callable[[], None]:
    """Register a function that draws docs/pictures/course/NAME.jpg, underscores as dashes."""
    name = draw.__name__.strip("_").replace("_", "-")

    def write() -> None:
        path = FOLDER / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        draw().savefig(path, dpi=100, pil_kwargs={"quality": 60, "optimize": True})
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")

    PICTURES[name] = write
    return write


@functools.cache
def run(name: str) -> TrainedRun:
    """A run of RUNS, trained first if it is missing."""
    folder = Path("runs/course") / name
    if not (folder / "model.safetensors").exists():
        words = [*RUNS[name].split(), "--data", "demo", "--out", str(folder)]
        subprocess.run([sys.executable, "scripts/train.py", *words], check=True)
    return TrainedRun.load(folder, "cpu")


@functools.cache
def test_set(crop: int | None = None) -> tuple[Images, Labels]:
    """The 2,000 test images, and their labels."""
    source = open_source("demo")
    labels = source.labels()
    assert labels is not None
    return source.testing(crop), labels


@functools.cache
def chosen() -> np.ndarray:
    """The 24 test images that every chapter shows: of each kind drawn at random, before anything was trained."""
    rng, kind_N = np.random.default_rng(SEED), test_set()[1].kind_N
    return np.concatenate(
        [rng.choice(np.flatnonzero(kind_N == kind), n, replace=False) for kind, n in zip(KINDS, COUNTS, strict=True)]
    )


@functools.cache
def scored(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and p-values of all test images."""
    trained = run(name)
    images, _ = test_set(trained.config.data.crop)
    score_N = trained.score(images, np.arange(len(images)))[trained.score_name]
    return score_N, trained.calibration.p_value(trained.score_name, score_N)


def pixels(trained: TrainedRun, rows: np.ndarray) -> torch.Tensor:
    """Test images as this run's model takes them: (N, C, S, S)."""
    return to_pixels(torch.from_numpy(test_set(trained.config.data.crop)[0].read(rows)))


def shown(x_NCHW: torch.Tensor) -> np.ndarray:
    """Pixels in [-1, 1] as uint8 NHWC."""
    return np.rint((x_NCHW.permute(0, 2, 3, 1).numpy().clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def bare(axes: Axes) -> Axes:
    """Without ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def grid(lines: Sequence[np.ndarray], left: Sequence[str], top: Sequence[str], size: float = 0.95) -> Figure:
    """Lines of images (each NHWC), with a word beside each line and above each column."""
    across = max(map(len, lines))
    figure = new_figure(size * across + 1.1, size * len(lines) + 0.3)
    places = figure.subplots(len(lines), across, squeeze=False)
    for line, (axes_across, image_NHWC) in enumerate(zip(places, lines, strict=True)):
        for column, axes in enumerate(axes_across):
            bare(axes)
            if column < len(image_NHWC):
                axes.imshow(image_NHWC[column])
            if line == 0 and column < len(top):
                axes.set_title(top[column], fontsize=9)
        axes_across[0].set_ylabel(left[line], fontsize=9, rotation=0, ha="right", va="center")
    return figure


def p_text(p: float) -> str:
    """A p-value in two digits, or three where two would not tell on which side of .05 it lies."""
    digits = 3 if 0.045 <= p < 0.055 else 2
    return "<.01" if p < 0.005 else f"{p:.{digits}f}".lstrip("0")


def p_of_24(name: str) -> np.ndarray:
    """The p-values of the 24 images by a run."""
    return scored(name)[1][chosen()]


def of_24(p_value: dict[str, np.ndarray]) -> Figure:
    """The 24 images, with the p-value of each by each method; red where it is flagged."""
    rows, across = chosen(), 12
    images, labels = test_set()
    for text, p_B in p_value.items():
        flagged_B, kind_B = p_B <= ALPHA, labels.kind_N[rows]
        print(f"  {text}:", ", ".join(f"{kind} {flagged_B[kind_B == kind].sum()}" for kind in KINDS))
    high = 1.0 + 0.24 * len(p_value)
    figure = new_figure(9.6, 2 * (0.72 * high + 0.1))
    for place, axes in enumerate(figure.subplots(2, across).flat):
        bare(axes)
        kind = labels.kind_N[rows[place]]
        axes.imshow(images.read(rows[[place]])[0], extent=(0, 1, 0, 1))
        axes.set(xlim=(0, 1), ylim=(1 - high, 1))
        axes.set_title(kind, fontsize=8, color=COLOUR[kind], pad=2)
        for line, (text, p_B) in enumerate(p_value.items()):
            flagged = p_B[place] <= ALPHA
            style = {"facecolor": "#d33" if flagged else "#e8e8e8", "edgecolor": "white", "boxstyle": "square,pad=0.15"}
            axes.text(
                0.5, -0.13 - 0.24 * line, p_text(p_B[place]), ha="center", va="center", fontsize=8, bbox=style,
                color="white" if flagged else "black", weight="bold" if flagged else "normal",
            )  # fmt: skip
            if place % across == 0 and len(p_value) > 1:
                axes.text(-0.08, -0.13 - 0.24 * line, text, ha="right", va="center", fontsize=8)
    return figure


# 1 Why a bottleneck


@picture
def bottleneck() -> Figure:
    """Reconstructions from 1 to 1,024 principal components, and the error and ROC-AUC that follow."""
    training, (images, labels) = open_source("demo").training(32), test_set(32)
    x_ND = scaled(training.read(np.arange(len(training)))).reshape(len(training), -1)
    y_ND = scaled(images.read(np.arange(len(images)))).reshape(len(images), -1)
    sizes = [2**n for n in range(11)]
    pca = PCA(sizes[-1], svd_solver="randomized", random_state=SEED).fit(x_ND)
    z_NK, total_N = pca.transform(y_ND), np.square(y_ND - pca.mean_).sum(1)
    error_SN = [(total_N - np.square(z_NK[:, :size]).sum(1)) / y_ND.shape[1] for size in sizes]
    rows, columns = chosen()[[0, 8, 16, 20]], (1, 8, 32, 128, 1024)
    recon = [(z_NK[rows, :k] @ pca.components_[:k] + pca.mean_).reshape(-1, 32, 32, 3) for k in columns]
    tiles = np.stack([images.read(rows), *(np.rint((r.clip(-1, 1) + 1) * 127.5).astype(np.uint8) for r in recon)])
    figure = new_figure(9.4, 3.6)
    faces, errors, aucs = figure.subplots(1, 3, width_ratios=(1.7, 1, 1))
    bare(faces).imshow(tiled(tiles.swapaxes(0, 1).reshape(-1, 32, 32, 3), 6))
    faces.set_xticks(34 * np.arange(6) + 16, ["image", *map(str, columns)], fontsize=8)
    faces.set_yticks(34 * np.arange(4) + 16, labels.kind_N[rows], fontsize=8)
    faces.tick_params(length=0)
    for kind in KINDS:
        mean_S = [error_N[labels.kind_N == kind].mean() for error_N in error_SN]
        errors.plot(sizes, mean_S, color=COLOUR[kind], label=kind)
        if kind != NORMAL:
            normal_N = labels.kind_N == NORMAL
            auc_S = [roc_auc(error_N[normal_N], error_N[labels.kind_N == kind]) for error_N in error_SN]
            aucs.plot(sizes, auc_S, color=COLOUR[kind])
            print(f"  {kind}:", dict(zip(sizes, np.round(auc_S, 3).tolist(), strict=True)))
    errors.set(xscale="log", yscale="log", xlabel="numbers in the code", title="mean squared error")
    aucs.set(xscale="log", xlabel="numbers in the code", title="ROC-AUC")
    errors.legend(fontsize=8)
    return figure


@picture
def _24_bottleneck() -> Figure:
    return of_24({"squared error": p_of_24("squared")})


# 2 Squared error against cross-entropy


@picture
def losses() -> Figure:
    """Both losses of one pixel, and one face restored by either."""
    figure = new_figure(9.4, 3.0)
    *curves, faces = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    p = np.linspace(0.005, 0.995, 400)
    for t, colour in zip((0.5, 0.8, 0.95), COLOURS, strict=False):
        entropy = -(t * np.log(t) + (1 - t) * np.log(1 - t))
        curves[0].plot(p, np.square(p - t), color=colour, label=f"t = {t}")
        curves[1].plot(p, -(t * np.log(p) + (1 - t) * np.log(1 - p)), color=colour)
        curves[1].plot(t, entropy, "o", color=colour)
    curves[0].set(title="squared error", xlabel="reconstruction p")
    curves[0].legend(fontsize=8)
    curves[1].set(title="cross-entropy (dot: its minimum)", xlabel="reconstruction p", ylim=(0, 3))
    rows = chosen()[[0, 1, 8, 16, 20]]
    lines = [test_set(32)[0].read(rows)]
    for name in ("squared", "entropy"):
        with torch.inference_mode():
            lines.append(shown(run(name).scorer.model(pixels(run(name), rows)).recon_NCHW))
    bare(faces).imshow(tiled(np.concatenate(lines), len(rows)))
    faces.set_yticks(34 * np.arange(3) + 16, ("image", "squared\nerror", "cross-\nentropy"), fontsize=8)
    faces.tick_params(length=0)
    images = test_set(32)[0]
    t_N = scaled(images.read(np.arange(len(images)))) / 2 + 0.5
    floor_N = -(t_N * np.log(t_N.clip(1e-6)) + (1 - t_N) * np.log((1 - t_N).clip(1e-6))).mean((1, 2, 3))
    for kind in KINDS:
        print(f"  least cross-entropy, {kind}: {floor_N[test_set()[1].kind_N == kind].mean():.3f}")
    return figure


@picture
def _24_losses() -> Figure:
    trained, (images, labels) = run("entropy"), test_set(32)
    training, splits = trained.open_training()
    score_N = cross_entropies(trained, images.read(np.arange(len(images))))
    p_N = conformal(cross_entropies(trained, training.read(splits.calibration)), score_N)
    for kind in KINDS[1:]:
        auc = roc_auc(score_N[labels.label_N == 0], score_N[labels.kind_N == kind])
        print(f"  ROC-AUC of the cross-entropy, {kind}: {auc:.3f}")
    return of_24({"squared": p_of_24("squared"), "entropy": p_of_24("entropy"), "as score": p_N[chosen()]})


def cross_entropies(trained: TrainedRun, batch_BHWC: np.ndarray) -> np.ndarray:
    """The mean cross-entropy of each image and its reconstruction: (B,)."""
    recon_BHWC, _ = trained.scorer.reconstruct(batch_BHWC)
    assert recon_BHWC is not None  # of an autoencoder
    t_BHWC, p_BHWC = scaled(batch_BHWC) / 2 + 0.5, (recon_BHWC / 2 + 0.5).clip(1e-6, 1 - 1e-6)
    entropy_BHWC = -(t_BHWC * np.log(p_BHWC) + (1 - t_BHWC) * np.log(1 - p_BHWC))
    return np.asarray(entropy_BHWC.mean((1, 2, 3)))


# 3 Denoising


@picture
def denoising() -> Figure:
    """One face corrupted in four ways, and what comes back; then a cat."""
    names = ("gaussian", "salt_pepper", "mask_pixels", "dropout")
    lines, rows = [], chosen()[[0, 20]]
    with torch.inference_mode():
        for name, short in zip(names, DENOISERS, strict=True):
            trained = run(short)
            model: Any = trained.scorer.model
            x_NCHW = pixels(trained, rows)
            shape = noise_shape(name, x_NCHW.shape[3], 3, model.encoder(x_NCHW).shape[1])
            draw = torch.randn if name == "gaussian" else torch.rand
            noise = draw((1, *shape), generator=torch.Generator().manual_seed(SEED))
            corrupt, plain_NCHW = CORRUPTIONS_BY_NAME[name], model(x_NCHW).recon_NCHW
            if name == "dropout":  # it corrupts the code: the image stays as it is
                before_NCHW, code_ND = x_NCHW, corrupt(model.encoder(x_NCHW), model.strength, noise)
            else:
                before_NCHW = corrupt(x_NCHW, model.strength, noise)
                code_ND = model.encoder(before_NCHW)
            back_NCHW = model.decode(code_ND)
            error_NHW = (back_NCHW - x_NCHW).square().sum(1).numpy()
            parts = [shown(part) for part in (x_NCHW, before_NCHW, back_NCHW, plain_NCHW)]
            parts.insert(3, heat(error_NHW / 0.6))
            lines.append(np.concatenate([np.stack([part[row] for part in parts]) for row in (0, 1)]))
    top = ("image", "corrupted", "restored", "error", "from clean") * 2
    return grid(lines, ("Gaussian\nnoise", "salt and\npepper", "masking", "dropout\nof the code"), top, 0.84)


@picture
def _24_denoising() -> Figure:
    return of_24({text: p_of_24(name) for name, text in DENOISERS.items()})


# 4 Variational


@picture
def variational() -> Figure:
    """Samples of the prior, by a plain decoder and by the VAE's, and walks in its latent space."""
    trained, plain = run("vae"), run("gaussian")
    samples = sample(trained, test_set(32)[0], 20, SEED)
    model: Any = plain.scorer.model
    with torch.inference_mode():
        noise = torch.randn(
            10, model.encoder(pixels(plain, chosen()[:1])).shape[1], generator=torch.Generator().manual_seed(SEED)
        )
        garbage = shown(model.decode(noise))
    walks = list(samples.walks_PKHWC[:3])
    left = ("no prior", "prior", "", "walk", "", "")
    return grid([garbage, samples.prior_NHWC[:10], samples.prior_NHWC[10:], *walks], left, (), 0.78)


@picture
def _24_variational() -> Figure:
    return of_24({"VAE": p_of_24("vae")})


# 5 Near anomalies


@picture
def near() -> Figure:
    """Distributions of the reconstruction error by kind, and what it looks like on a displaced face."""
    score_N, kind_N = scored("squared")[0], test_set()[1].kind_N
    figure = new_figure(9.4, 3.4)
    curves, faces = figure.subplots(1, 2, width_ratios=(1.15, 1))
    edges = np.linspace(*np.quantile(score_N, (0, 0.995)), 50)
    normal_N = score_N[kind_N == NORMAL]
    for kind in KINDS:
        own_N = score_N[kind_N == kind]
        curves.hist(own_N, edges, density=True, histtype="step", color=COLOUR[kind], label=kind, linewidth=1.6)
        d = (own_N.mean() - normal_N.mean()) / np.sqrt(own_N.var() + normal_N.var())
        print(
            f"  {kind}: mean {own_N.mean():.4f}, deviation {own_N.std():.4f}, by the formula {norm.cdf(d):.3f}, "
            f"ROC-AUC {roc_auc(normal_N, own_N):.3f}"
        )
    curves.set(xlabel="reconstruction error (mean absolute)", yticks=[])
    curves.legend(fontsize=8)
    rows = chosen()[[0, 8, 12, 13, 20]]
    trained = run("squared")
    with torch.inference_mode():
        x_NCHW = pixels(trained, rows)
        recon_NCHW: Any = trained.scorer.model(x_NCHW).recon_NCHW
    error = heat((recon_NCHW - x_NCHW).square().sum(1).numpy() / 0.4)
    bare(faces).imshow(tiled(np.concatenate([shown(x_NCHW), shown(recon_NCHW), error]), len(rows)))
    faces.set_yticks(34 * np.arange(3) + 16, ("image", "reconstr.", "error"), fontsize=8)
    texts = [f"{kind_N[row]}\n{score_N[row]:.3f}" for row in rows]
    faces.set_xticks(34 * np.arange(len(rows)) + 16, texts, fontsize=8)
    faces.tick_params(length=0)
    print("  rows shown:", rows.tolist(), [round(float(score_N[row]), 3) for row in rows])
    return figure


@picture
def _24_near() -> Figure:
    return of_24({"error": p_of_24("squared"), "recogniser": p_of_24("recogniser")})


# 6 Transformations


@picture
def transformations() -> Figure:
    """What the recogniser answers for a face before and after a known change, and for anomalies."""
    trained, rows = run("recogniser"), chosen()[[0, 8, 11, 12, 20]]
    model: Any = trained.scorer.model
    x_NCHW = pixels(trained, rows)
    warm_1CHW = (x_NCHW[:1] + 0.12 * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1)).clamp(-1, 1)
    batch = torch.cat([x_NCHW[:1], warm_1CHW, x_NCHW[1:]])
    with torch.inference_mode():
        amount_NP = model.evidence(batch, model(batch))["amounts"].numpy()
    standard_NP = trained.calibration.fits["amounts"].standardise(amount_NP.astype(np.float64))
    texts = ("normal", "the same, warmer", "relit", "relit", "displaced", "cat")
    figure = new_figure(9.4, 3.8)
    places = figure.subplots(2, len(texts), height_ratios=(1, 1.6))
    for n, text in enumerate(texts):
        print(f"  {text}:", dict(zip(model.names, standard_NP[n].round(1).tolist(), strict=True)))
        bare(places[0, n]).imshow(shown(batch[n : n + 1])[0])
        places[0, n].set_title(text, fontsize=9)
        places[1, n].barh(model.names, standard_NP[n].clip(-6, 6), color=COLOURS[1])
        places[1, n].set(xlim=(-6, 6), yticks=range(len(model.names)))
        places[1, n].set_yticklabels(model.names if n == 0 else [], fontsize=8)
        places[1, n].axvline(0, color="grey", linewidth=0.6)
        places[1, n].tick_params(axis="x", labelsize=8)
        places[1, n].invert_yaxis()
    return figure


@picture
def _24_transformations() -> Figure:
    """The joint score of the recogniser, and each of its three parts alone."""
    trained, (images, _) = run("recogniser"), test_set()
    scores, columns = trained.score(images, chosen()), {"joint": p_of_24("recogniser")}
    for part in trained.config.scoring.parts:
        columns[part] = trained.calibration.p_value(part, scores[part])
    return of_24(columns)


# 7 Calibration


@functools.cache
def ten() -> np.ndarray:
    """Ten of the recogniser's calibration scores, drawn at random, rounded and sorted."""
    trained = run("recogniser")
    known_C = trained.calibration.values_C[trained.score_name]
    return np.sort(np.random.default_rng(SEED).choice(known_C, 10, replace=False).round(1))


@picture
def calibration() -> Figure:
    """Ten calibration scores as a staircase of p-values, and that of all; p-values of all test images."""
    trained, (score_N, p_N) = run("recogniser"), scored("recogniser")
    kind_N = test_set()[1].kind_N
    known_C = trained.calibration.values_C[trained.score_name]
    print("  ten calibration scores:", ten().tolist(), "of", len(known_C))
    for row in chosen():
        s = float(score_N[row].round(1))
        print(f"  {row} {kind_N[row]}: score {s}, p of ten {(1 + (ten() >= s).sum()) / 11:.2f}, of all {p_N[row]:.4f}")
    figure = new_figure(9.4, 3.2)
    stairs, bars = figure.subplots(1, 2)
    at = np.linspace(ten()[0] - 1, ten()[-1] + 2, 2000)
    stairs.plot(at, [(1 + (ten() >= s).sum()) / 11 for s in at], color=COLOURS[1], label="10 normals")
    stairs.plot(
        at, [(1 + (known_C >= s).sum()) / (len(known_C) + 1) for s in at], color="grey", label=f"{len(known_C)} normals"
    )
    stairs.plot(ten(), np.zeros(10), "|", color="black", markersize=12)
    stairs.set(xlabel="score", ylabel="p-value", ylim=(-0.05, 1.05))
    stairs.legend(fontsize=8)
    edges = np.linspace(0, 1, 21)
    for kind in (NORMAL, "relit", "displaced"):
        own_N = p_N[kind_N == kind]
        bars.hist(
            own_N,
            edges,
            weights=np.full(len(own_N), 1 / len(own_N)),
            histtype="step",
            color=COLOUR[kind],
            label=kind,
            linewidth=1.6,
        )
    bars.axhline(0.05, color="grey", linestyle=":", linewidth=1)
    bars.set(xlabel="p-value", ylabel="share of the images", yscale="log")
    bars.legend(fontsize=8)
    normal_N = p_N[kind_N == NORMAL]
    for alpha in (0.01, 0.05, 0.1, 0.2):
        print(f"  normal images with p <= {alpha}: {np.mean(normal_N <= alpha):.3f}")
    return figure


@picture
def _24_calibration() -> Figure:
    score_B = scored("recogniser")[0][chosen()].round(1)
    few_B = (1 + (ten() >= score_B[:, None]).sum(1)) / 11
    return of_24({"10 normals": few_B, "all": p_of_24("recogniser")})


# 8 Comparing


@picture
def comparing() -> Figure:
    """The best public score of m equally good submissions rises; its private score does not."""
    rng, trials, m_M = np.random.default_rng(SEED), 1000, np.arange(1, 41)
    half = 500  # normal and anomalous images each, in the public and in the private half
    shift = 2**0.5 * norm.ppf(0.78)
    public, private = np.empty((trials, 40)), np.empty((trials, 40))
    for trial in range(trials):
        for m in range(40):
            for auc in (public, private):
                auc[trial, m] = roc_auc(rng.normal(size=half), rng.normal(shift, size=half))
    best = np.maximum.accumulate(public, axis=1)
    at = np.array([[row[: m + 1].argmax() for m in range(40)] for row in public])
    later = np.take_along_axis(private, at, axis=1)
    deviation = public.std()
    limit = public.mean() + deviation * np.sqrt(2 * np.log(m_M))
    figure = new_figure(9.4, 3.2)
    axes, bound = figure.subplots(1, 2, width_ratios=(1.4, 1))
    axes.plot(m_M, best.mean(0), color=COLOURS[0], label="public score of the best")
    axes.plot(m_M, later.mean(0), color=COLOURS[1], label="its private score")
    axes.plot(m_M, limit, ":", color="grey", label="upper bound")
    axes.set(xlabel="submissions", ylabel="ROC-AUC")
    axes.legend(fontsize=8)
    for line, name in enumerate(FIVE):
        auc, low, high = of_all_kinds(name)
        bound.errorbar(auc, line, xerr=[[auc - low], [high - auc]], fmt="o", color="black", capsize=3)
        print(f"  {name}: {auc:.3f} ({low:.3f} to {high:.3f})")
    bound.set(yticks=range(len(FIVE)), xlabel="macro ROC-AUC, 95% interval")
    bound.set_yticklabels(FIVE)
    print(f"  one public score: {public.mean():.4f}, deviation {deviation:.4f}; bound of 40: {limit[-1]:.4f}")
    print(f"  best of 40: public {best.mean(0)[-1]:.4f}, private {later.mean(0)[-1]:.4f}")
    return figure


def of_all_kinds(name: str) -> tuple[float, float, float]:
    """Macro ROC-AUC of a run on the test set, and its 95% interval."""
    from hw8.evaluation.metrics import evaluate

    found = evaluate(scored(name)[0], test_set()[1])
    return found.macro.auc, found.macro.low, found.macro.high


@picture
def _24_comparing() -> Figure:
    return of_24({name: p_of_24(name) for name in FIVE})


if __name__ == "__main__":
    for word in sys.argv[1:] or PICTURES:
        PICTURES[word]()
