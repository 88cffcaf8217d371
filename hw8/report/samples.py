"""Images that a generative model makes: drawn from its prior, and on the way between two images in its latent space."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from hw8.base.device import autocast
from hw8.base.errors import InputError, command
from hw8.data.arrays import Images, to_pixels, unscaled
from hw8.models.blocks import Generative
from hw8.report.figures import save_figure
from hw8.report.heatmaps import three_channels
from hw8.report.plots import new_figure
from hw8.runs.trained_run import TrainedRun

ACROSS = 10  # images in a line of the picture
PAIRS, STEPS = 4, ACROSS - 2  # walks, and images of each between its two ends; chosen by hand, to fit one screen
MAX_SAMPLES = 1000  # samples of one picture


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images that a decoder makes, uint8 NHWC.

    `prior_NHWC` of latents drawn from N(0, I). `walks_PKHWC`, each row of them: an image, the decoded points on the
    line from its latent to that of another image, ends included, and that other image. `rows_P2` are these two images.
    """

    prior_NHWC: np.ndarray
    walks_PKHWC: np.ndarray
    rows_P2: np.ndarray


def sample(run: TrainedRun, images: Images, count: int, seed: int) -> Samples:
    """Decode `count` latents drawn from the prior, and four walks between images drawn from `images`.

    Raises InputError if the run's model has no decoder and prior, `count` is not within 1 to 1,000, or `seed` is not
    within 0 to 2^32 - 1.
    """
    scorer, model = run.scorer, run.scorer.model
    if not isinstance(model, Generative):
        raise InputError(
            f"{run.name}: its model {run.config.model.name} has no prior to draw images from; "
            f"give a run of vae or aae, for instance of {command('train', '--preset', 'vae')}"
        )
    if not 1 <= count <= MAX_SAMPLES:
        raise InputError(f"`count` {count}: must be at least 1 and at most {MAX_SAMPLES:,}")
    if not 0 <= seed < 2**32:
        raise InputError(f"`seed` {seed}: must be at least 0 and below {2**32:,}")
    rows_P2 = np.random.default_rng(seed).choice(len(images), (PAIRS, 2), replace=len(images) < 2 * PAIRS)
    end_PKHWC = images.read(rows_P2.ravel()).reshape(PAIRS, 2, run.side, run.side, run.channels)
    with torch.inference_mode(), autocast(scorer.precision, scorer.device):
        x_NCHW = to_pixels(torch.from_numpy(end_PKHWC).flatten(0, 1), scorer.device)
        start_P1D, stop_P1D = model(x_NCHW).latent_ND.float().unflatten(0, (PAIRS, 2)).split(1, dim=1)
        place_K1 = torch.linspace(0, 1, STEPS, device=scorer.device).unsqueeze(1)
        walk_PKD = start_P1D + place_K1 * (stop_P1D - start_P1D)
        generator = torch.Generator().manual_seed(seed)  # the CPU's: the same samples on every device
        prior_ND = torch.randn(count, walk_PKD.shape[2], generator=generator).to(scorer.device)
        prior_NHWC, walk_NHWC = (
            unscaled(model.decode(latent).permute(0, 2, 3, 1).cpu().numpy())
            for latent in (prior_ND, walk_PKD.flatten(0, 1))
        )
    walk_PKHWC = walk_NHWC.reshape(PAIRS, STEPS, *walk_NHWC.shape[1:])
    return Samples(prior_NHWC, np.concatenate([end_PKHWC[:, :1], walk_PKHWC, end_PKHWC[:, 1:]], axis=1), rows_P2)


def draw_samples(path: Path, samples: Samples) -> None:
    """Draw the samples of the prior, ten in a line, above the walks."""
    walks_NHWC = samples.walks_PKHWC.reshape(-1, *samples.prior_NHWC.shape[1:])
    lines = [-(-len(samples.prior_NHWC) // ACROSS), PAIRS]
    figure = new_figure(ACROSS, sum(lines) + 0.8)
    texts = ("samples of the prior", "walks in the latent space, from the image on the left to that on the right")
    parts = zip(figure.subplots(2, 1, height_ratios=lines), (samples.prior_NHWC, walks_NHWC), texts, strict=True)
    for axes, image_NHWC, text in parts:
        axes.imshow(tiled(three_channels(image_NHWC), ACROSS))
        axes.set_title(text, fontsize=9, loc="left")
        axes.set_axis_off()
    save_figure(figure, path)


def tiled(image_NHWC: np.ndarray, across: int) -> np.ndarray:
    """Images side by side on white, `across` in a line, with a gap between them: uint8 (H, W, 3)."""
    gap = max(1, image_NHWC.shape[1] // 16)
    missing = -len(image_NHWC) % across
    tile_NHWC = np.pad(image_NHWC, [(0, missing), (0, gap), (0, gap), (0, 0)], constant_values=255)
    _, height, width, channels = tile_NHWC.shape
    return tile_NHWC.reshape(-1, across, height, width, channels).swapaxes(1, 2).reshape(-1, across * width, channels)
