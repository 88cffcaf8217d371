"""Named runs, one function each. A preset starts from another and changes what differs."""

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any

from hw8.base.errors import InputError, did_you_mean
from hw8.base.registry import register
from hw8.base.text import aligned
from hw8.config import SECTIONS, RunConfig

PRESETS: dict[str, Callable[[], RunConfig]] = {}
SHORT_LIST = 5  # presets listed with a line each after an unknown name: one screen with the error, chosen by hand
COMMON = ("boss_quick", "boss", "fcn_crop", "resnet", "vae")  # what fills that list where few names are similar
SIMILAR = 0.4  # difflib's ratio from which a name is listed: looser than a "did you mean", since it is one of several
MUON: dict[str, Any] = {"optimizer": "muon", "lr": 5e-3}  # the rate is chosen by held-out figures (docs/experiments.md)


def preset(function: Callable[[], RunConfig]) -> Callable[[], RunConfig]:
    """Register a named run under the function's name. Raises ValueError if the name is taken."""

    @functools.wraps(function)
    def load() -> RunConfig:
        return dataclasses.replace(function(), preset=function.__name__)

    return register(load, PRESETS, "preset")


def load_preset(name: str) -> RunConfig:
    """The settings of a named run. Raises InputError for an unknown name."""
    if name not in PRESETS:
        raise unknown_preset(name)
    return PRESETS[name]()


def unknown_preset(name: str, others: Mapping[str, str] | None = None, field: str = "preset") -> InputError:
    """The error for an unknown name in `field`, where `others` maps further names to their descriptions."""
    descriptions = {preset: (load.__doc__ or "").split("\n")[0] for preset, load in PRESETS.items()}
    descriptions |= others or {}
    similar = difflib.get_close_matches(name, descriptions, SHORT_LIST, SIMILAR)
    listed = [*similar, *(preset for preset in COMMON if preset not in similar)][:SHORT_LIST]
    there_are = f"there are {', '.join(listed)} and {len(descriptions) - len(listed)} more"
    lines = aligned([(preset, descriptions[preset]) for preset in listed], left=2)
    several = "," in name and others is not None
    apart = " separate names by spaces;" if several else did_you_mean(name, descriptions)
    return InputError(f"`{field}` {name}: unknown;{apart} {there_are}", [f"  {line}" for line in lines])


def changed(config: RunConfig, **fields: Any) -> RunConfig:
    """A copy of `config` with some fields changed, of a section by their names: changed(base, train={"epochs": 3})."""
    for name in fields.keys() & SECTIONS:
        fields[name] = dataclasses.replace(getattr(config, name), **fields[name])
    return dataclasses.replace(config, **fields)


@preset
def conv() -> RunConfig:
    """Strided convolutions down to a latent vector, transposed ones back: the plain baseline."""
    return changed(RunConfig(), model={"name": "conv", "options": {"latent": 128}})


@preset
def fcn() -> RunConfig:
    """Fully connected autoencoder on the whole image."""
    return changed(RunConfig(), model={"name": "fcn", "options": {"widths": [512, 128], "latent": 32}})


@preset
def fcn_crop() -> RunConfig:
    """Fully connected, BatchNorm, narrow latent, on the centre of the face: cheap, and strong in students' reports."""
    return changed(_centre("fcn", widths=[512], latent=32, norm="batch"), train={"epochs": 20})


@preset
def resnet() -> RunConfig:
    """Residual encoder and decoder around a narrow latent, on the centre of the face."""
    return changed(_centre("resnet", latent=64), train={"loss": "l1"} | MUON)


@preset
def resnet_mse() -> RunConfig:
    """`resnet` with mean squared error."""
    return changed(resnet(), train={"loss": "mse"})


@preset
def centre() -> RunConfig:
    """The common setting of the models below: the inner 32 pixels, twelve epochs, mean squared error."""
    return changed(RunConfig(), data={"crop": 32, "flip": True}, model={"name": "conv", "options": {"latent": 64}})


def _bce(config: RunConfig) -> RunConfig:
    """The same run with binary cross-entropy."""
    return changed(config, train={"loss": "bce"})


def _centre(model: str, **options: Any) -> RunConfig:
    """`centre` with another model."""
    return changed(centre(), model={"name": model, "options": options})


@preset
def fcn_bce() -> RunConfig:
    """`fcn_crop` with binary cross-entropy."""
    return _bce(fcn_crop())


@preset
def conv_bce() -> RunConfig:
    """`centre` with binary cross-entropy."""
    return _bce(centre())


@preset
def resnet_bce() -> RunConfig:
    """`resnet` with binary cross-entropy."""
    return _bce(resnet())


def _denoising(corruption: str, strength: float) -> RunConfig:
    run = _centre("denoising", latent=64, corruption=corruption, strength=strength)
    return changed(run, scoring={"score": "denoising_l1"})


@preset
def denoise_gaussian() -> RunConfig:
    """Denoising autoencoder: normal noise of 25 grey levels."""
    return _denoising("gaussian", 25.0)


@preset
def denoise_levels() -> RunConfig:
    """One denoiser for all noise of up to 50 grey levels, scored by its errors at four levels together."""
    run = _centre("denoising", latent=64, corruption="gaussian", strength=50.0, many_levels=True)
    return changed(run, scoring={"score": "level_errors"})


@preset
def denoise_gaussian_bce() -> RunConfig:
    """`denoise_gaussian` with binary cross-entropy."""
    return _bce(denoise_gaussian())


@preset
def denoise_salt_pepper() -> RunConfig:
    """Denoising autoencoder: a tenth of the pixels black or white."""
    return _denoising("salt_pepper", 0.1)


@preset
def denoise_mask() -> RunConfig:
    """Denoising autoencoder: a quarter of the pixels set to zero."""
    return _denoising("mask_pixels", 0.25)


@preset
def denoise_blocks() -> RunConfig:
    """Denoising autoencoder: a quarter of the blocks set to zero."""
    return _denoising("mask_blocks", 0.25)


@preset
def denoise_dropout() -> RunConfig:
    """Denoising autoencoder: a fifth of the latent's features dropped."""
    return _denoising("dropout", 0.2)


@preset
def vae() -> RunConfig:
    """Variational autoencoder, normal likelihood, scored by the negative ELBO."""
    return changed(_centre("vae", latent=64), train=MUON, scoring={"score": "nelbo"})


@preset
def vae_bce() -> RunConfig:
    """Variational autoencoder, Bernoulli likelihood."""
    return _bce(changed(vae(), model={"options": {"latent": 64, "likelihood": "bernoulli"}}))


@preset
def multi_encoder() -> RunConfig:
    """Fully connected, convolutional and residual encoders before one decoder."""
    return _centre("multi_encoder", latent=64)


@preset
def resnet_auxiliary() -> RunConfig:
    """Residual autoencoder with an auxiliary decoder, scored by both."""
    return changed(_centre("auxiliary", latent=64), scoring={"score": "both_l1"})


@preset
def classifier() -> RunConfig:
    """Residual autoencoder with an extra classifier of near-misses, scored by the classifier."""
    return changed(_centre("classifier", latent=64), scoring={"score": "classifier_logit"})


@preset
def classifier_noise() -> RunConfig:
    """`classifier` with pixel noise instead of near-misses: the variant that failed for students of the homework."""
    return changed(classifier(), model={"options": {"latent": 64, "negatives": "pixel_noise"}})


@preset
def memae() -> RunConfig:
    """Memory-augmented autoencoder with nearly uniform addressing."""
    return _centre("memae")


@preset
def memae_sparse() -> RunConfig:
    """Memory-augmented autoencoder with sharp, shrunk addressing and the entropy term."""
    return _centre("memae", shrink=1.0, temperature=0.1, entropy_weight=2e-4)


@preset
def vqvae() -> RunConfig:
    """Vector-quantised autoencoder."""
    return _centre("vqvae")


@preset
def aae() -> RunConfig:
    """Adversarial autoencoder."""
    return _centre("aae")


@preset
def deep_svdd() -> RunConfig:
    """Deep SVDD, a model without reconstruction."""
    return changed(_centre("deep_svdd"), scoring={"score": "distance"}, train={"lr": 1e-3})


@preset
def boss() -> RunConfig:
    """`boss_quick` with twice the epochs: evidence of a recogniser and of the image's texture."""
    return changed(
        RunConfig(unaligned="boss_views"),
        data={"flip": True},
        model={"name": "recogniser", "options": {}},
        # As many steps for few images as for 8,000: a few hundred faces still gain from the last of them
        # (docs/experiments.md).
        train={"loss": "l1", "epochs": 30, "least_steps": 1700} | MUON,
        scoring={"score": "joint", "parts": ("amounts", "changes", "texture")},
    )


@preset
def boss_views() -> RunConfig:
    """Recognises the turns and shifts in which it sees an image: for objects that are not aligned."""
    return changed(
        RunConfig(),
        data={"flip": True},
        model={"name": "views", "options": {}},
        train={"least_steps": 10_000, "batch_size": 32, "optimizer": "muon", "lr": 1e-2, "weight_decay": 0.05},
        scoring={
            "score": "fused",
            "fused": ("views", "latent", "early"),
            "distance": "euclidean",
            "fit_on": "training",
        },
    )


@preset
def boss_quick() -> RunConfig:
    """`boss` in three minutes on two cores for 8,000 images."""
    return changed(boss(), train={"epochs": 15, "least_steps": 850})


@preset
def boss_transductive() -> RunConfig:
    """`boss` that, when it scores a test set, also learns from its unlabelled images."""
    return changed(boss(), unaligned="", scoring={"transductive": True})


@preset
def boss_digits() -> RunConfig:
    """`boss` for about a hundred small grey images that are not symmetric, for instance one handwritten digit."""
    return changed(
        boss(),
        unaligned="",
        data={"flip": False},
        train={"least_steps": 400},  # enough for digits: docs/oneclass.md has the figure
        model={"options": {"widths": [32, 64, 96, 128], "mirror": False}},
        scoring={"parts": ("amounts", "changes", "features", "latent"), "distance": "neighbours", "fit_on": "training"},
    )


@preset
def boss_large() -> RunConfig:
    """`boss`, wider and longer: for a GPU, or 80 minutes of one thread."""
    return changed(boss(), model={"options": {"widths": [48, 96, 192, 288]}}, train={"epochs": 90})


def _course(model: str, **options: Any) -> RunConfig:
    """The sample notebook's training and score: Adam at 1e-3, batches of 2000, 50 epochs, nothing else."""
    return changed(
        RunConfig(),
        model={"name": model, "options": options},
        train={
            "epochs": 50,
            "least_steps": 0,  # the notebook's epochs and batches, however few the images
            "batch_size": 2000,
            "lr": 1e-3,
            "final_lr_share": 1.0,
            "warmup_share": 0.0,
            "weight_decay": 0.0,
            "clip_norm": 1e9,  # never reached: the notebook does not clip
            "ema_decay": 0.0,
        },
        scoring={"score": "rse"},
    )


@preset
def course_fcn() -> RunConfig:
    """The sample notebook's fully connected model."""
    return _course("fcn", widths=[128, 64, 12], latent=3)


@preset
def course_cnn() -> RunConfig:
    """The sample notebook's convolutional model."""
    return _course("course_cnn")


@preset
def course_vae() -> RunConfig:
    """The sample notebook's variational model."""
    return _course("course_vae")


@preset
def simple() -> RunConfig:
    """The course's ladder, first step: the sample code."""
    return course_cnn()


@preset
def medium() -> RunConfig:
    """Second step: the sample model adjusted (crop, BatchNorm, another latent)."""
    return fcn_crop()


@preset
def strong() -> RunConfig:
    """Third step: the multi-encoder autoencoder."""
    return multi_encoder()


@preset
def boss_course() -> RunConfig:
    """Last step: a residual encoder (a hint of the slides), with a second decoder that learns beside the first."""
    return resnet_auxiliary()


DEFAULT_PRESET = "boss_quick"
