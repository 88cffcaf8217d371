"""The course's way to train and score, in our own words: the reference that scripts/benchmark.py measures against.

One image at a time becomes float32 and is scaled in Python; a plain DataLoader; float32 arithmetic; PyTorch's default
memory layout; for scoring the whole test set is cast to float32 first.
"""

import time
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from hw8.models.output import Output


class FaceDataset(Dataset[torch.Tensor]):
    """Images (N, H, W, C) one by one as float32 (C, H, W) in [-1, 1]."""

    def __init__(self, array_NHWC: np.ndarray) -> None:
        self.array_NHWC = array_NHWC

    def __len__(self) -> int:
        return len(self.array_NHWC)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = torch.from_numpy(np.array(self.array_NHWC[row])).to(torch.float32).permute(2, 0, 1)
        return 2.0 * image / 255.0 - 1.0


class StudentBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Add the input, through the shortcut, to the output of the convolutions."""
        return torch.relu(self.main(x_NCHW) + self.shortcut(x_NCHW))


class StudentEncoder(nn.Module):
    """Residual blocks of 32-64-64-128-128-64 channels at strides 1-2-1-2-2-2, then a latent of 64."""

    def __init__(self) -> None:
        super().__init__()
        widths, strides = (32, 64, 64, 128, 128, 64), (1, 2, 1, 2, 2, 2)
        sizes = (3, *widths)
        blocks = [StudentBlock(sizes[n], sizes[n + 1], strides[n]) for n in range(6)]
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 4 * 4, 64))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Pixels (N, 3, 64, 64) to latent (N, 64)."""
        latent_ND: torch.Tensor = self.layers(x_NCHW)
        return latent_ND


class StudentDecoder(nn.Module):
    """A linear map, then four 4x4 transposed convolutions at stride 2; no Tanh, which the autoencoder adds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 64 * 4 * 4)
        layers: list[nn.Module] = []
        for inputs, outputs in ((64, 128), (128, 64), (64, 32)):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1))

    def forward(self, latent_ND: torch.Tensor) -> torch.Tensor:
        """Latent (N, 64) to pixels (N, 3, 64, 64)."""
        pixels: torch.Tensor = self.layers(self.linear(latent_ND).view(-1, 64, 4, 4))
        return pixels


def mean_squared_error(output: Output, image: torch.Tensor) -> torch.Tensor:
    """The course's loss."""
    return functional.mse_loss(cast(torch.Tensor, output.recon_NCHW), image)


def train_steps(
    model: nn.Module,
    array_NHWC: np.ndarray,
    batch_size: int,
    device: str = "cpu",
    loss_of: Callable[[Output, torch.Tensor], torch.Tensor] = mean_squared_error,
) -> Iterator[int]:
    """Train as the course does, without end; yields the number of images of each step."""
    loader = DataLoader(FaceDataset(array_NHWC), batch_size=batch_size, shuffle=True)
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for batch in loader:
            image = batch.float().to(device)
            loss = loss_of(model(image), image)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield len(image)


@torch.no_grad()
def score(model: nn.Module, array_NHWC: np.ndarray, batch_size: int, device: str = "cpu") -> np.ndarray:
    """Root of the summed squared error of every image: the whole set becomes float32 first, then batch after batch."""
    data = torch.tensor(array_NHWC, dtype=torch.float32).permute(0, 3, 1, 2)
    data = 2.0 * data / 255.0 - 1.0
    model.to(device).eval()
    scores = []
    for batch in DataLoader(data, batch_size=batch_size):  # type: ignore[arg-type]
        image = batch.to(device)
        output = model(image).recon_NCHW
        scores.append(torch.sqrt(((output - image) ** 2).sum(dim=(1, 2, 3))))
    return torch.cat(scores).cpu().numpy()


def images_per_second(steps: Iterator[int], seconds: float) -> float:
    """The rate of an endless training over so many seconds, after one step to warm up."""
    next(steps)
    started, images = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        images += next(steps)
    return images / (time.perf_counter() - started)
