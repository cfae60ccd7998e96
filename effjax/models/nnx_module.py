"""Networks of flax.nnx as modules of flax.linen, which the rest of effjax trains and asks."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
from flax import nnx

from effjax.errors import UserError

#: What a network may hold, by the collection that it is in flax.linen.
_KINDS = {"params": nnx.Param, "batch_stats": nnx.BatchStat}


class NnxModule(nn.Module):
    """A flax.nnx module as one of flax.linen; :class:`~effjax.models.own.Own` makes a student or a teacher of it.

    Parameters and running statistics lie in ``params`` and ``batch_stats``, at the paths of their attributes.

    Attributes:
      make: makes the module of random streams. Every call must make the same one, but for the numbers in it.

    Example:
      >>> module = NnxModule(lambda rngs: nnx.Linear(4, 3, rngs=rngs))
      >>> variables = module.init(jax.random.key(0), jax.numpy.ones((2, 4)))
      >>> module.apply(variables, jax.numpy.ones((2, 4))).shape
      (2, 3)
    """

    make: Callable[[nnx.Rngs], nnx.Module]

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False) -> Any:
        """Calls the module with images ``[B, H, W, C]``, in its mode for training or for evaluation.

        Raises:
          UserError: if it is trained and draws at random: its streams know nothing of examples, steps and devices.
        """
        if self.is_initializing():
            for kind, tree in nnx_variables(self.make(nnx.Rngs(self.make_rng("params")))).items():
                for name, value in tree.items():
                    self.put_variable(kind, name, value)
        graph, states, rest = _skeleton(self.make)
        if train and jax.tree.leaves(nnx.filter_state(rest, nnx.RngState)):
            raise UserError("a flax.nnx module that draws at random (dropout) cannot be trained; allowed: one without")
        filled = [_filled(states[kind], self.variables.get(kind, {})) for kind in _KINDS]
        module = nnx.merge(graph, *filled, rest)
        module.train() if train else module.eval()
        outputs = module(images)  # pyright: ignore[reportCallIssue]
        for kind, tree in nnx_variables(module).items():
            if kind != "params" and self.is_mutable_collection(kind):
                for name, value in tree.items():
                    self.put_variable(kind, name, value)
        return outputs


def nnx_variables(module: nnx.Module) -> dict[str, dict[str, Any]]:
    """The parameters and running statistics of a flax.nnx module, as flax.linen lays them out.

    Raises:
      UserError: if it holds anything else but random streams.
    """
    _, states, rest = _split(module)
    kinds = map(type, jax.tree.leaves(rest, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable)))
    others = [kind for kind in kinds if not issubclass(kind, nnx.RngState)]
    if others:
        raise UserError(f"a flax.nnx module holds {others[0].__name__}; allowed: Param, BatchStat, random streams")
    flat = {kind: {_path(path): leaf[...] for path, leaf in nnx.to_flat_state(state)} for kind, state in states.items()}
    return {kind: flax.traverse_util.unflatten_dict(leaves) for kind, leaves in flat.items() if leaves}


def _split(module: nnx.Module) -> tuple[Any, dict[str, Any], Any]:
    graph, *states, rest = nnx.split(module, *_KINDS.values(), ...)
    return graph, dict(zip(_KINDS, states, strict=True)), rest


@functools.lru_cache(maxsize=16)
def _skeleton(make: Callable[[nnx.Rngs], nnx.Module]) -> tuple[Any, dict[str, Any], Any]:
    with jax.ensure_compile_time_eval():  # kept, and so of no one's trace
        return _split(make(nnx.Rngs(0)))


def _filled(state: Any, tree: Mapping[str, Any]) -> Any:
    flat = flax.traverse_util.flatten_dict(dict(tree))
    return nnx.from_flat_state([(path, leaf.replace(flat[_path(path)])) for path, leaf in nnx.to_flat_state(state)])


def _path(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(map(str, path))
