"""Networks in few bits: grids, calibration, learnt steps, what helps after training, and exact integer arithmetic.

Kernels have their output channels last, so have depthwise ones. What works on codes computes what onnxruntime's kernels
compute, bit for bit.
"""

from effjax.quantization.batch_norm import fold_batch_norm
from effjax.quantization.bias_correction import correct_bias
from effjax.quantization.calibration import CALIBRATIONS, calibrate
from effjax.quantization.equalization import equalize
from effjax.quantization.grids import Grid, dequantize, fake_quantize, limits, quantize
from effjax.quantization.histogram import Histogram
from effjax.quantization.lsq import initial_step, learned_step, lsq_quantize
from effjax.quantization.requantization import (
    dequantize_sum,
    integer_add,
    integer_average_pool,
    integer_mean,
    requantize,
)
from effjax.quantization.rounding import (
    adaround,
    adaround_weights,
    initial_rounding,
    rectified_sigmoid,
    rounding_regularizer,
)
from effjax.quantization.scales import activation_grid, safe_weight_scale, weight_grid
from effjax.quantization.sums import integer_conv, integer_dense, quantize_bias

__all__ = [
    "CALIBRATIONS",
    "Grid",
    "Histogram",
    "activation_grid",
    "adaround",
    "adaround_weights",
    "calibrate",
    "correct_bias",
    "dequantize",
    "dequantize_sum",
    "equalize",
    "fake_quantize",
    "fold_batch_norm",
    "initial_rounding",
    "initial_step",
    "integer_add",
    "integer_average_pool",
    "integer_conv",
    "integer_dense",
    "integer_mean",
    "learned_step",
    "limits",
    "lsq_quantize",
    "quantize",
    "quantize_bias",
    "rectified_sigmoid",
    "requantize",
    "rounding_regularizer",
    "safe_weight_scale",
    "weight_grid",
]
