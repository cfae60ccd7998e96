"""A quantised graph as an ONNX model: rounded values and integer weights, each between a quantiser and its inverse.

Runtimes find these pairs around an operation and compute it with integers (the form called QDQ). Activations are uint8
and kernels int8, which CPUs multiply fastest; codes of fewer bits are stored in these, too.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import onnx

from effjax.models.deployed.onnx_model import to_onnx
from effjax.models.deployed.onnx_nodes import OnnxWriter
from effjax.models.deployed.quantized import Codes, QuantizedGraph
from effjax.quantization import Grid


def quantized_to_onnx(quantized: QuantizedGraph, codes: Codes, **options: Any) -> onnx.ModelProto:
    """Writes a quantised network; options are those of :func:`effjax.models.deployed.onnx_model.to_onnx`.

    Args:
      quantized: the network.
      codes: its integers.
      **options: ``names``, ``mean``, ``std``.

    Returns:
      The model; it has been checked.
    """
    codes = dataclasses.replace(
        codes,
        layers={name: dataclasses.replace(layer, **_on_host(layer)) for name, layer in codes.layers.items()},
        grids=jax.tree.map(np.asarray, codes.grids),
    )
    weights: dict[str, dict[str, Any]] = {name: dict(own) for name, own in codes.weights.items()}
    for name, layer in codes.layers.items():
        bias_scale = np.asarray(np.float32(layer.input_scale) * np.asarray(layer.scale, np.float32), np.float32)
        weights[name] = {
            "kernel": Integers(np.asarray(layer.kernel, np.int8), np.asarray(layer.scale, np.float32)),
            "bias": Integers(np.asarray(layer.bias, np.int32), bias_scale),
        }
    grids = {number: Rounding(grid) for number, grid in codes.grids.items()}
    return to_onnx(quantized.graph, weights, grids=grids, **options)


def _on_host(layer: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(getattr(layer, name)) for name in ("kernel", "bias", "scale", "input_scale")}


@dataclasses.dataclass(frozen=True, eq=False)
class Integers:
    """An array that is stored as codes, with a scale for each of its last axis.

    Attributes:
      codes: int8 or int32.
      scale: ``[O]``.
    """

    codes: np.ndarray
    scale: np.ndarray

    def write(self, writer: OnnxWriter, order: tuple[int, ...]) -> str:
        """Stores it with its axes in another order; returns the name of what it stands for."""
        zero = np.zeros(self.scale.shape, self.codes.dtype)
        given = [writer.array(array) for array in (np.transpose(self.codes, order), self.scale, zero)]
        return writer.add("DequantizeLinear", given, axis=order.index(self.codes.ndim - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Rounding:
    """A value that is rounded to a grid.

    Attributes:
      grid: unsigned, one for all.
    """

    grid: Grid

    def write(self, writer: OnnxWriter, name: str) -> str:
        """Rounds a value; returns the name of what its codes stand for."""
        scale, zero = np.asarray(self.grid.scale, np.float32), np.asarray(self.grid.zero_point, np.uint8)
        given = [writer.array(scale), writer.array(zero)]
        codes = writer.add("QuantizeLinear", [name, *given])
        if self.grid.bits < 8:  # uint8 has room for more codes than there are
            # Cut as codes: before the quantiser it would keep runtimes from computing the layer with integers.
            ends = [writer.array(np.array(end, np.uint8)) for end in (0, 2**self.grid.bits - 1)]
            codes = writer.add("Clip", [codes, *ends])
        return writer.add("DequantizeLinear", [codes, *given])
