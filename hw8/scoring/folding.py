"""Batch normalisation folded into the layer before it: in evaluation both are linear, and one is quicker than two."""

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from hw8.models.output import Model


def folded(model: Model) -> Model:
    """A copy of a trained model for evaluation, without the normalisations that follow a layer in a Sequential.

    y = gamma (W x + b - mean) / sqrt(variance + eps) + beta is a layer of weights gamma W / sqrt(variance + eps) (Jacob
    2018, section 3.2). Other layers are left as they are.
    """
    model = copy.deepcopy(model).eval()
    for layers in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for (name, layer), (after, norm) in pairwise(list(layers.named_children())):
            if isinstance(norm, nn.BatchNorm2d) and isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layers._modules[name] = fuse_conv_bn_eval(layer, norm, isinstance(layer, nn.ConvTranspose2d))
                layers._modules[after] = nn.Identity()
            elif isinstance(norm, nn.BatchNorm1d) and isinstance(layer, nn.Linear) and norm.affine:
                layers._modules[name] = fuse_linear_bn_eval(layer, norm)
                layers._modules[after] = nn.Identity()
    return model
