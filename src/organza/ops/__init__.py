"""Operations of GANs, each as a plain reference and a fast twin; see `using`."""

from organza.ops.bias_act import ACTIVATIONS, bias_act
from organza.ops.conv import conv2d, conv2d_resample, conv_transpose2d
from organza.ops.folded import inference, inferring
from organza.ops.instance_norm import instance_norm
from organza.ops.modulated import modulated_conv2d
from organza.ops.twins import input_gradient, using
from organza.ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "bias_act",
    "conv2d",
    "conv2d_resample",
    "conv_transpose2d",
    "downsample2d",
    "filter2d",
    "inference",
    "inferring",
    "input_gradient",
    "instance_norm",
    "modulated_conv2d",
    "setup_filter",
    "upfirdn2d",
    "upsample2d",
    "using",
]
