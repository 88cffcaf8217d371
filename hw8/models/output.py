"""The contract of every model: what a forward pass returns, and what else a model may give."""

from typing import Any, NamedTuple

from torch import Tensor, nn


class Output(NamedTuple):
    """The result of a forward pass on a batch `x_NCHW` of pixels in [-1, 1].

    `recon_NCHW` is the reconstruction, float32 in [-1, 1], or None for a model without one; `latent_ND` the latent of
    each image; `terms` maps a name to a loss per image (N,), which the training loop adds to the reconstruction loss.
    `map_NDhw` is the encoder's feature map, where the model's own evidence uses it again.
    """

    recon_NCHW: Tensor | None
    latent_ND: Tensor
    terms: dict[str, Tensor]
    map_NDhw: Tensor | None = None


class Model(nn.Module):
    """A module whose `forward(x_NCHW)` returns an `Output`; it may have evidence and diagnoses of its own."""

    needs_output = True
    """Whether `evidence` needs its `output`. If not, scoring by that evidence alone skips the reconstruction."""

    def allows_microbatches(self) -> bool:
        """Whether a batch may be split into microbatches whose gradients are summed.

        False where a statistic of the batch enters the loss, as in BatchNorm, or a buffer is learned from the batch.
        """
        return not self.learned_buffers()

    def learned_buffers(self) -> set[str]:
        """Names of the buffers that are saved: unlike fixed noise, they are learned."""
        return self.state_dict().keys() - {name for name, _ in self.named_parameters(remove_duplicate=False)}

    def augment(self, x_NCHW: Tensor) -> Any:  # noqa: ARG002
        """A random alteration of a training batch, which `forward(x_NCHW, augmented)` shows the network in its place.

        None if the network sees the batch itself. The next batch may be augmented in another thread during a step
        (`hw8.training.step`): so this must not read weights, and `forward` must not draw random numbers.
        """
        return None

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Evidence of each image besides its reconstruction error, by name.

        Either one number per image (N,), larger for less normal, or one vector (N, D), for which calibration learns
        what is normal. The values of an image must not depend on the others in the batch: random numbers come from a
        seeded generator, the same for every image.
        """
        return {}

    def components(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of vector evidence, where they have a meaning; used to explain a score."""
        return {}

    def diagnose(self, x_NCHW: Tensor) -> dict[str, float]:  # noqa: ARG002
        """Numbers about the trained model on held-out images for summary.json, for instance the codes in use."""
        return {}
