"""Known changes to an image, and the amount of each: what a recogniser learns to predict.

Graded changes have an amount in [-1, 1], zero for none; besides, an image may be turned by quarters of a circle and
damaged in one of five ways (`DAMAGES`). Everything happens in batches, on the images' device.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from hw8.base.device import constant

GEOMETRY = ("zoom", "shift_x", "shift_y", "tilt", "aspect")
TEXTURE = ("sharpness", "noise", "smoothness")
TONE = ("brightness", "contrast", "gamma")
COLOUR = ("saturation", "warmth")  # which grey images cannot show
ONE_SIDED = ("noise", "smoothness")  # amounts in [0, 1]: there is no negative noise
MIRRORED = ("shift_x", "tilt")  # amounts that change their sign when the image is mirrored left to right
DAMAGES = ("none", "pasted", "blended", "shuffled", "covered", "moved")
QUARTERS = 4
MIRRORED_TURNS = (0, 3, 2, 1)  # a quarter turn to the left is, in the mirror, one to the right
WARM = (1.0, 0.0, -1.0)  # the direction of warmth in red, green and blue

# Strength of each graded change at the amount 1. All are chosen by hand, as are the probabilities in Chances.
ZOOM = 0.2  # log of the factor of both sides: 22% larger or smaller
ASPECT = 0.12  # log of the factor of one side, and minus that of the other: 13%
SHIFT = 0.12  # in coordinates from -1 to 1: 6% of the side
TILT = 0.25  # radians: 14 degrees
SMOOTHNESS = 0.12  # threshold in pixel values of [-1, 1]: 15 grey levels of 255
CONTRAST = 0.35  # log of the factor: 42%
BRIGHTNESS = 0.25  # in pixel values of [-1, 1]: 32 grey levels of 255
SATURATION = 0.6  # log of the factor
WARMTH = 0.12  # in pixel values of [-1, 1]: 15 grey levels of 255
GAMMA = 0.4  # log of the exponent: 49%
# Largest amount of a variation. Of 1, after 300,000 views, the held-out loss of turns and shifts is higher than without
# any (airplane .559 for .548, cat 1.03 for .99); without any the training loss (airplane .43) falls below it.
VARIED = 0.5
NOISE = 0.15  # standard deviation in pixel values of [-1, 1]: 19 grey levels of 255


def parameter_names(channels: int) -> tuple[str, ...]:
    """Names of the graded changes that images with so many channels can show."""
    return GEOMETRY + TEXTURE + TONE + (COLOUR if channels == len(WARM) else ())


@dataclasses.dataclass(frozen=True)
class Transformed:
    """Changed images in [-1, 1], with their amounts (N, P), quarter turns (N,) and indices of the damage (N,)."""

    x_NCHW: Tensor
    amount_NP: Tensor
    turn_N: Tensor
    damage_N: Tensor


@dataclasses.dataclass(frozen=True)
class Chances:
    """Probabilities that an image stays untouched, that each graded change acts, that it is turned, and damaged."""

    untouched: float = 0.15
    graded: float = 0.35
    turned: float = 0.45
    damaged: float = 0.55


def transform(x_NCHW: Tensor, chances: Chances) -> Transformed:
    """Change each image at random, from torch's global generator. A second image, where needed, is the previous one."""
    count, channels = x_NCHW.shape[:2]
    device, names = x_NCHW.device, parameter_names(channels)
    acts_N1 = torch.rand(count, 1, device=device) >= chances.untouched
    amount_NP = torch.rand(count, len(names), device=device) * 2 - 1
    amount_NP = amount_NP * (torch.rand_like(amount_NP) < chances.graded) * acts_N1
    amount = dict(zip(names, amount_NP.unbind(1), strict=True))
    amount |= {name: amount[name].abs() for name in ONE_SIDED}
    turn_N = _choice(count, QUARTERS, chances.turned, acts_N1)
    damage_N = _choice(count, len(DAMAGES), chances.damaged, acts_N1)
    y_NCHW = _damaged(x_NCHW, damage_N)
    y_NCHW = _moved(y_NCHW, amount, turn_N, damage_N == DAMAGES.index("moved"))
    y_NCHW = _textured(_toned(_smoothed(y_NCHW, amount["smoothness"]), amount), amount)
    amount_NP = torch.stack([amount[name] for name in names], dim=1)
    return Transformed(_rounded(y_NCHW), amount_NP, turn_N, damage_N)


def varied(x_NCHW: Tensor) -> Tensor:
    """Each image zoomed, shifted, tilted and toned a little at random, neither turned nor damaged: seen anew."""
    names = (*GEOMETRY, "brightness", "contrast", *(COLOUR if x_NCHW.shape[1] == len(WARM) else ()))
    amount_PN = (torch.rand(len(names), len(x_NCHW), device=x_NCHW.device) * 2 - 1) * VARIED
    amount = dict(zip(names, amount_PN, strict=True)) | {"gamma": torch.zeros_like(amount_PN[0])}
    upright_N = torch.zeros_like(amount_PN[0], dtype=torch.long)
    return _toned(_moved(x_NCHW.clone(), amount, upright_N, upright_N > 0), amount)


def mirror_signs(channels: int) -> Tensor:
    """Factor (P,) that each amount takes when the image is mirrored left to right."""
    return torch.tensor([-1.0 if name in MIRRORED else 1.0 for name in parameter_names(channels)])


def _choice(count: int, kinds: int, chance: float, acts_N1: Tensor) -> Tensor:
    """0 or, with probability `chance`, one of 1 to kinds - 1: (N,)."""
    kind_N = torch.randint(1, kinds, (count,), device=acts_N1.device)
    return kind_N * ((torch.rand(count, device=acts_N1.device) < chance) & acts_N1[:, 0])


def _rounded(y_NCHW: Tensor) -> Tensor:
    """Rounded to the 256 levels that files have, so that no change is recognised by values between them."""
    levels_NCHW = y_NCHW.clamp(-1, 1).add_(1).mul_(127.5).round_()
    return levels_NCHW.div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def _where(active_N: Tensor, y_NCHW: Tensor, change: Callable[[Tensor, Tensor | slice], Tensor]) -> Tensor:
    """The images (or grids) with the active ones replaced by `change(images, rows)`, on a CPU in place.

    There the change sees only the active ones, so that the others cost nothing. With CUDA it sees all: the host would
    have to wait for the number of active ones, and no graph could be captured.
    """
    if y_NCHW.device.type not in ("cpu", "mps"):
        return torch.where(active_N.view(-1, 1, 1, 1), change(y_NCHW, slice(None)).to(y_NCHW.dtype), y_NCHW)
    rows = active_N.nonzero()[:, 0]
    if not len(rows):
        return y_NCHW
    return y_NCHW.index_copy_(0, rows, change(y_NCHW[rows], rows).to(y_NCHW.dtype))


def boxes(count: int, height: int, width: int, device: torch.device, low: float, high: float) -> Tensor:
    """One random rectangle per image, `low` to `high` of each side, as a mask (N, 1, H, W)."""
    y, x = torch.arange(height, device=device).view(1, 1, -1, 1), torch.arange(width, device=device).view(1, 1, 1, -1)
    size = low + (high - low) * torch.rand(2, count, 1, 1, 1, device=device)
    start = torch.rand(2, count, 1, 1, 1, device=device) * (1 - size)
    rows = (y >= start[0] * height) & (y < (start[0] + size[0]) * height)
    columns = (x >= start[1] * width) & (x < (start[1] + size[1]) * width)
    return rows & columns


def pulls(count: int, device: torch.device, low: float = 0.14, high: float = 0.32) -> tuple[Tensor, Tensor, Tensor]:
    """What `bump` needs for one random pull per image: its point (N, 1, 1, 2), direction and length, (N, 1, 1) each.

    The direction is in radians; the length is `low` to `high` in coordinates from -1 to 1 (by default 7% to 16% of the
    side).
    """
    centre = torch.rand(count, 1, 1, 2, device=device) - 0.5
    angle = 2 * math.pi * torch.rand(count, 1, 1, device=device)
    return centre, angle, low + (high - low) * torch.rand(count, 1, 1, device=device)


def bump(grid_NHW2: Tensor, spread: Tensor | float, centre: Tensor, angle: Tensor, length: Tensor) -> Tensor:
    """A smooth pull (N, H, W, 2) of a point's surroundings; `spread` is the squared radius, a number or (N, 1, 1)."""
    height = length * torch.exp(-(grid_NHW2 - centre).square().sum(-1) / spread)
    return torch.stack([height * angle.cos(), height * angle.sin()], dim=-1)


def _damaged(x_NCHW: Tensor, damage_N: Tensor) -> Tensor:
    """Every damage but "moved", by a box of the image or by another image, the previous one of the batch.

    Pasted: the box shows another place of the other image. Blended: a mean of both images. Shuffled: the box shows
    another place of the same image. Covered: the box has one colour of the other image.
    """
    height, width = x_NCHW.shape[2:]
    other_N = torch.arange(len(x_NCHW), device=x_NCHW.device).roll(1)
    # "Another place" is a tenth to a quarter of the side away; chosen by hand.
    nearest = max(1, height // 10)
    shift_2 = nearest + torch.randint(height // 4 - nearest + 1, (2,), device=x_NCHW.device)

    def box(part_NCHW: Tensor) -> Tensor:
        return boxes(len(part_NCHW), height, width, x_NCHW.device, 0.2, 0.5)

    def pasted(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        return torch.where(box(part_NCHW), _rolled(x_NCHW[other_N[rows]], shift_2), part_NCHW)

    def blended(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        share = 0.35 + 0.3 * torch.rand(len(part_NCHW), 1, 1, 1, device=part_NCHW.device)
        return share * part_NCHW + (1 - share) * x_NCHW[other_N[rows]]

    def shuffled(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:  # noqa: ARG001 (one signature for all)
        return torch.where(box(part_NCHW), _rolled(part_NCHW, shift_2), part_NCHW)

    def covered(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        count, device = len(part_NCHW), part_NCHW.device
        y, x = (torch.randint(size, (count,), device=device) for size in (height, width))
        colour_NC = x_NCHW[other_N[rows], :, y, x]
        return torch.where(box(part_NCHW), colour_NC[:, :, None, None], part_NCHW)

    y_NCHW = x_NCHW.clone()
    for name, change in {"pasted": pasted, "blended": blended, "shuffled": shuffled, "covered": covered}.items():
        y_NCHW = _where(damage_N == DAMAGES.index(name), y_NCHW, change)
    return y_NCHW


def _rolled(x_NCHW: Tensor, shift_2: Tensor) -> Tensor:
    """All images moved down and to the right by these numbers of pixels, what leaves them entering opposite."""
    height, width = x_NCHW.shape[2:]
    down, across = (
        (torch.arange(size, device=x_NCHW.device) - shift) % size
        for size, shift in zip((height, width), shift_2, strict=True)
    )
    # In one pass, pixel by pixel with all channels, as they lie in memory.
    pixel_NPC = x_NCHW.permute(0, 2, 3, 1).flatten(1, 2)
    place_P = (down.unsqueeze(1) * width + across).flatten()
    return pixel_NPC.index_select(1, place_P).unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _moved(y_NCHW: Tensor, amount: dict[str, Tensor], turn_N: Tensor, pulled_N: Tensor) -> Tensor:
    """Zoom, shift, tilt, aspect, quarter turns, and local pulls where `pulled_N`.

    Images that are only turned keep their pixels: nothing is interpolated.
    """
    side = y_NCHW.shape[2]
    graded_N = torch.stack([amount[name] for name in GEOMETRY]).ne(0).any(0) | pulled_N
    for quarters in range(1, QUARTERS):

        def turned(part_NCHW: Tensor, _: Tensor | slice, quarters: int = quarters) -> Tensor:
            return part_NCHW.rot90(quarters, (2, 3))

        y_NCHW = _where(~graded_N & (turn_N == quarters), y_NCHW, turned)

    def warped(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        count = len(part_NCHW)
        zoom, shift_x, shift_y, tilt, aspect = (amount[name][rows] for name in GEOMETRY)
        angle = TILT * tilt + turn_N[rows] * (math.pi / 2)
        # The grid says where each pixel is taken from, so that a larger image has the smaller factors.
        across, down = torch.exp(ASPECT * aspect - ZOOM * zoom), torch.exp(-ASPECT * aspect - ZOOM * zoom)
        first = torch.stack([angle.cos() * across, -angle.sin() * across, SHIFT * shift_x], dim=1)
        second = torch.stack([angle.sin() * down, angle.cos() * down, SHIFT * shift_y], dim=1)
        grid_NHW2 = F.affine_grid(torch.stack([first, second], 1), [count, 1, side, side], align_corners=False)
        spread = 0.08 + 0.14 * torch.rand(count, 1, 1, device=part_NCHW.device)
        pull = spread, *pulls(count, part_NCHW.device)

        def pulled(some_MHW2: Tensor, some: Tensor | slice) -> Tensor:
            return some_MHW2 + bump(some_MHW2, *(value[some] for value in pull))

        grid_NHW2 = _where(pulled_N[rows], grid_NHW2, pulled)
        return F.grid_sample(part_NCHW, grid_NHW2, padding_mode="reflection", align_corners=False)

    return _where(graded_N, y_NCHW, warped)


def _smoothed(y_NCHW: Tensor, amount_N: Tensor) -> Tensor:
    """Faint detail removed and edges kept: the finest Laplacian band is shrunk by a soft threshold (Donoho 1995)."""

    def shrunk(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        coarse = F.interpolate(F.avg_pool2d(part_NCHW, 2, ceil_mode=True), part_NCHW.shape[2:], mode="bilinear")
        band, threshold = part_NCHW - coarse, SMOOTHNESS * amount_N[rows].view(-1, 1, 1, 1)
        return coarse + (band - band.clamp(-threshold, threshold))

    return _where(amount_N > 0, y_NCHW, shrunk)


def _toned(y_NCHW: Tensor, amount: dict[str, Tensor]) -> Tensor:
    """Contrast, brightness and gamma; in colour also saturation and warmth."""
    channels = y_NCHW.shape[1]
    zero_N = torch.zeros_like(amount["contrast"])
    saturation, warmth = amount.get("saturation", zero_N), amount.get("warmth", zero_N)

    def recoloured(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        factor_N11 = (CONTRAST * amount["contrast"][rows]).exp().view(-1, 1, 1)
        mean_N11 = part_NCHW.mean((1, 2, 3)).view(-1, 1, 1)
        vivid_N11 = (SATURATION * saturation[rows]).exp().view(-1, 1, 1)
        eye_CC = torch.eye(channels, device=part_NCHW.device)
        mixing_NCC = factor_N11 * (vivid_N11 * eye_CC + (1 - vivid_N11) / channels)
        offset_N11 = mean_N11 * (1 - factor_N11) + BRIGHTNESS * amount["brightness"][rows].view(-1, 1, 1)
        if channels == len(WARM):
            warm_C1 = constant(WARM, part_NCHW.device).view(-1, 1)
            offset_N11 = offset_N11 + WARMTH * warmth[rows].view(-1, 1, 1) * warm_C1
        return (mixing_NCC @ part_NCHW.flatten(2)).add_(offset_N11).view(part_NCHW.shape)

    def bent(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        light_NCHW = part_NCHW.clamp(-1, 1).add_(1).div_(2).clamp_min_(1e-4)
        return light_NCHW.pow_((GAMMA * amount["gamma"][rows]).exp().view(-1, 1, 1, 1)).mul_(2).sub_(1)

    linear = torch.stack([amount["contrast"], amount["brightness"], saturation, warmth])
    return _where(amount["gamma"] != 0, _where(linear.ne(0).any(0), y_NCHW, recoloured), bent)


def _textured(y_NCHW: Tensor, amount: dict[str, Tensor]) -> Tensor:
    """Sharpened or blurred by up to the whole difference from a 5x5 binomial blur; noise."""

    def sharpened(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        return (part_NCHW - _blurred(part_NCHW)).mul_(amount["sharpness"][rows].view(-1, 1, 1, 1)).add_(part_NCHW)

    def noisy(part_NCHW: Tensor, rows: Tensor | slice) -> Tensor:
        count, channels, height, width = part_NCHW.shape
        # Drawn contiguous, as the images lie: nine times as fast as randn_like of a view.
        noise_NCHW = torch.randn(count, height, width, channels, device=part_NCHW.device).permute(0, 3, 1, 2)
        return noise_NCHW.mul_(NOISE * amount["noise"][rows].view(-1, 1, 1, 1)).add_(part_NCHW)

    y_NCHW = _where(amount["sharpness"] != 0, y_NCHW, sharpened)
    return _where(amount["noise"] > 0, y_NCHW, noisy)


def _blurred(x_NCHW: Tensor) -> Tensor:
    """Binomial blur, 1 4 6 4 1 in both directions."""
    channels = x_NCHW.shape[1]
    weights = constant((1.0, 4.0, 6.0, 4.0, 1.0), x_NCHW.device) / 16
    across = weights.view(1, 1, 1, 5).repeat(channels, 1, 1, 1)
    padded = F.pad(x_NCHW, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(F.conv2d(padded, across, groups=channels), across.transpose(2, 3), groups=channels)
