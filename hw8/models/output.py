"""The contract of every model: what a forward pass returns, and what a model may say besides."""

from typing import NamedTuple

from torch import Tensor, nn


class Output(NamedTuple):
    """What a model makes of a batch `x_NCHW` of pixels in [-1, 1].

    `recon_NCHW` is its reconstruction, float32 in [-1, 1], or None for a model that has none; `latent_ND` the latent
    of each image; `terms` maps a name to a loss per image (N,) that the training loop adds to the
    reconstruction loss. `map_NDhw` is the encoder's map of features, where the model's own evidence needs it again.
    """

    recon_NCHW: Tensor | None
    latent_ND: Tensor
    terms: dict[str, Tensor]
    map_NDhw: Tensor | None = None


class Model(nn.Module):
    """A module whose `forward(x_NCHW)` returns an `Output`; it may have evidence and diagnoses of its own."""

    def splits(self) -> bool:
        """Whether a batch may be worked on in parts, whose gradients add up to the batch's.

        Not where images meet in a statistic of the batch, or where a buffer is learned from it.
        """
        return not self.learned_buffers()

    def learned_buffers(self) -> set[str]:
        """Names of the buffers that are saved: unlike fixed noise, they are learned."""
        return self.state_dict().keys() - {name for name, _ in self.named_parameters(remove_duplicate=False)}

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """What the model says of each image besides its reconstruction error, by name.

        A number an image (N,), larger for less normal; or a vector (N, D), of which calibration learns what is normal.
        An image's numbers must not depend on the others in the batch; what is random draws from a seeded
        generator, the same for every image.
        """
        return {}

    def components(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of vector evidence, where they mean something: for explaining a score."""
        return {}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:  # noqa: ARG002
        """Numbers about the trained model on held-out images, for summary.json: codes in use, active units."""
        return {}
