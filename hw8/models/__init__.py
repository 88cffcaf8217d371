"""The models, one file per family. Importing this package registers all of them; a new one adds its import here."""

from hw8.models import (
    adversarial,
    auxiliary,
    classifier,
    conv,
    course,
    denoising,
    fcn,
    memae,
    multi_encoder,
    recogniser,
    resnet,
    svdd,
    vae,
    views,
    vqvae,
)
from hw8.models.output import Model, Output
from hw8.models.registry import MODELS, create_model, options_class, register_model

__all__ = ["MODELS", "Model", "Output", "create_model", "options_class", "register_model"]
