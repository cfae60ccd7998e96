"""A network as it is written: in floats or in few bits, with what it answers, for a file to be compared with."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import flax.linen as nn
import jax
import numpy as np

from effjax.errors import UserError
from effjax.models import QuantizedModule, Scheme, deploy
from effjax.models.deployed import Codes
from effjax.recipes.export.subject import Subject
from effjax.typing import PyTree

if TYPE_CHECKING:
    import onnx

_log = logging.getLogger("effjax")


@dataclasses.dataclass(frozen=True, eq=False)
class Deployable:
    """A network whose weights and, in few bits, grids are settled.

    Attributes:
      scheme: the bits; None is a network of floats.
      answers: from what the first layer reads, ``[B, H, W, C]``, to what the file should answer: a network of floats as
        it is, one of few bits by integer arithmetic. Compiled once for each size of the batch.
      to_onnx: makes the model; options are those of :func:`effjax.models.deployed.onnx_model.to_onnx`.
      weights: what is stored: kernels and biases, batch normalisation folded, codes of few bits.
      facts: how it was quantised, for whoever gets the file.
    """

    scheme: Scheme | None
    answers: Callable[[Any], PyTree]
    to_onnx: Callable[..., "onnx.ModelProto"]
    weights: tuple[np.ndarray, ...]
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def deployable(subject: Subject, bits: str = "", calibration: str = "mse", calibrate: int = 512) -> Deployable:
    """Settles what of a trained network is written, the same at every call.

    Args:
      subject: the network, and images for it.
      bits: quantises a network of floats, ``w8a8``; empty leaves it as it is.
      calibration: one of :data:`effjax.quantization.CALIBRATIONS`.
      calibrate: how many training images it looks at.

    Raises:
      UserError: if the network cannot be deployed so, or was trained with other bits.
    """
    module = cast(Any, subject.network.module)
    if isinstance(module, QuantizedModule):
        if bits not in ("", str(_deployed(module.scheme))):
            raise UserError(f"--bits={bits}: the run was trained with {module.scheme}; leave --bits out")
        return _in_few_bits(subject, module, subject.variables, {"calibration": "learnt"})
    if not bits:
        return _in_floats(subject, module)
    module, count = QuantizedModule(module, Scheme.parse(bits)), min(calibrate, len(subject.source))
    _log.info("calibrating on %d training images (%s)", count, calibration)
    batches = (subject.shown(batch) for batch in subject.batches(calibrate))
    variables = module.begin(subject.effective, batches, calibration)
    return _in_few_bits(subject, module, variables, {"calibration": calibration, "calibrated_on": count})


def _in_floats(subject: Subject, module: nn.Module) -> Deployable:
    from effjax.models.deployed.onnx_model import to_onnx

    graph = deploy(module, subject.effective, subject.image_shape)
    folded = jax.tree.map(np.asarray, jax.jit(graph.fold)(subject.effective))
    answers = functools.partial(_float_program(module), subject.effective)
    return Deployable(None, answers, functools.partial(to_onnx, graph, folded), tuple(jax.tree.leaves(folded)))


def _in_few_bits(subject: Subject, module: QuantizedModule, variables: PyTree, facts: Mapping[str, Any]) -> Deployable:
    from effjax.models.deployed.onnx_codes import quantized_to_onnx

    quantized, codes = module.graph(subject.image_shape), module.codes(variables, subject.image_shape)
    grids = {
        point.name: {
            "scale": float(codes.grids[number].scale),
            "zero_point": int(codes.grids[number].zero_point),
            "bits": point.bits,
        }
        for number, point in quantized.placement.points.items()
    }
    return Deployable(
        _deployed(module.scheme),
        functools.partial(_integer_program(module), codes),
        functools.partial(quantized_to_onnx, quantized, codes),
        _stored(codes),
        {**facts, "grids": grids},
    )


def _deployed(scheme: Scheme) -> Scheme:
    """How batch normalisation was trained is of no matter where it is folded."""
    return dataclasses.replace(scheme, live=False)


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with products that keep the bits of float32, which a GPU or TPU by itself rounds before them."""
    return jax.default_matmul_precision("highest")(function)


@functools.lru_cache(maxsize=16)
def _float_program(module: nn.Module) -> Any:
    """Compiled once for all the networks of one architecture."""
    return jax.jit(in_float32(module.apply))


@functools.lru_cache(maxsize=16)
def _integer_program(module: QuantizedModule) -> Any:
    return jax.jit(module.apply_integer)


def _stored(codes: Codes) -> tuple[np.ndarray, ...]:
    layers = [array for layer in codes.layers.values() for array in (layer.kernel, layer.bias)]
    return tuple(np.asarray(array) for array in (*layers, *jax.tree.leaves(codes.weights)))
