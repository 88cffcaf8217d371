"""Autoencoder with an auxiliary decoder: a second reconstruction from the same latent."""

from torch import Tensor, nn

from hw8.config.limits import Positive
from hw8.models.backbones import Backbone, make_decoder, make_encoder
from hw8.models.blocks import Autoencoder, Size, bounded
from hw8.models.losses import l1, mse
from hw8.models.output import Output
from hw8.models.registry import model_options, register_model


@model_options
class AuxiliaryOptions:
    """Options of the model auxiliary."""

    backbone: Backbone = "resnet"
    """Layers of encoder and main decoder."""
    second: Backbone = "fcn"
    """Layers of the auxiliary decoder."""
    latent: Size = 64
    """Length of the latent vector."""
    weight: Positive = 1.0
    """Factor of the auxiliary decoder's loss."""


class AuxiliaryAutoencoder(Autoencoder):
    """The auxiliary decoder learns from the latent without moving it, most where the main one fails.

    Its term is its own error, weighted for each image by the main error over the batch's mean main error; of several
    processes each takes the mean of its own part of the batch.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, auxiliary: nn.Module, weight: float) -> None:
        super().__init__(encoder, decoder)
        self.auxiliary, self.weight = auxiliary, weight

    def forward(self, x_NCHW: Tensor) -> Output:
        """Reconstruct by the main decoder; the auxiliary one's weighted error is the term."""
        latent_ND = self.encoder(x_NCHW)
        recon_NCHW = self.decode(latent_ND)
        main_N = mse(recon_NCHW, x_NCHW).detach()
        error_N = mse(self._second(latent_ND), x_NCHW)
        weight_N = main_N / main_N.mean().clamp_min(1e-8)
        return Output(recon_NCHW, latent_ND, {"auxiliary": self.weight * weight_N * error_N})

    def allows_microbatches(self) -> bool:
        """False: the auxiliary errors are weighted by the batch's mean error."""
        return False

    def _second(self, latent_ND: Tensor) -> Tensor:
        return bounded(self.auxiliary(latent_ND.detach()))

    def evidence(self, x_NCHW: Tensor, output: Output) -> dict[str, Tensor]:
        """The auxiliary decoder's errors, and the mean of both decoders' L1."""
        second_NCHW = self._second(output.latent_ND)
        error_N = l1(second_NCHW, x_NCHW)
        assert output.recon_NCHW is not None  # noqa: S101 (this model always reconstructs)
        both_N = (error_N + l1(output.recon_NCHW, x_NCHW)) / 2
        return {"auxiliary_l1": error_N, "auxiliary_mse": mse(second_NCHW, x_NCHW), "both_l1": both_N}


@register_model
def auxiliary(side: int, channels: int, options: AuxiliaryOptions) -> AuxiliaryAutoencoder:
    """Autoencoder of one backbone with an auxiliary decoder of another."""
    sizes = side, channels, options.latent
    encoder, decoder = make_encoder(options.backbone, *sizes), make_decoder(options.backbone, *sizes)
    return AuxiliaryAutoencoder(encoder, decoder, make_decoder(options.second, *sizes), options.weight)
