"""What a model costs: parameters, and operations for one image."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn


def count_params(params: Any) -> int:
    """Counts the elements of a tree of arrays or of ``jax.ShapeDtypeStruct``.

    Args:
      params: ``variables["params"]`` of a model, or a part of it.
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def flops(
    module: nn.Module,
    image_shape: tuple[int, ...],
    *,
    others: Sequence[jax.ShapeDtypeStruct] = (),
    training: bool = False,
) -> float:
    """Counts the floating-point operations of the forward pass for one image; nothing is computed.

    Matrix products and convolutions are counted, a multiplication and an addition as two; what is done element
    by element (normalisation, non-linearities, pooling) is not, as in the field's tables. Half of it is the
    number of multiply-adds ("MACs") that many papers call FLOPs. It is the same on every backend.

    Args:
      module: a model that ``create`` made.
      image_shape: ``(H, W, C)``; of a model that reads something else first, of that.
      others: what it reads besides, of one example, ``[1, ...]``.
      training: whether it is counted without what the model leaves out at random while it trains.
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), images, *others)
    options = {"dropout_keys": jax.random.split(jax.random.key(0), 1)} if training else {}
    return float(_count(jax.make_jaxpr(functools.partial(module.apply, **options))(variables, images, *others).jaxpr))


def _count(jaxpr: Jaxpr) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _shape(operand: Any) -> tuple[int, ...]:
    return operand.aval.shape  # of arrays; what else there is has none


def _count_equation(equation: JaxprEqn) -> int:
    output = math.prod(_shape(equation.outvars[0])) if equation.outvars else 0
    shapes = [_shape(operand) for operand in equation.invars[:2]]
    match equation.primitive.name:
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            return 2 * output * math.prod(shapes[0][axis] for axis in contracted)
        case "conv_general_dilated":
            # A kernel has the input channels of its group only, so this holds for grouped convolutions too.
            features = equation.params["dimension_numbers"].rhs_spec[0]
            return 2 * output * math.prod(shapes[1]) // shapes[1][features]
        case "scan":
            return equation.params["length"] * _count(equation.params["jaxpr"].jaxpr)
    inner = jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr)
    return sum(_count(getattr(p, "jaxpr", p)) for p in inner if _is_jaxpr(p))


def _is_jaxpr(value: Any) -> bool:
    return isinstance(getattr(value, "jaxpr", value), Jaxpr)  # with its constants, or without
