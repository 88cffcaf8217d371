"""The zoo. Importing this package registers every model; a new one adds its import here."""

from hw8.models import conv, fcn, resnet
from hw8.models.output import Output
from hw8.models.registry import MODELS, create_model, register_model

__all__ = ["MODELS", "Output", "conv", "create_model", "fcn", "register_model", "resnet"]
