"""Parts of a network whose activations are computed anew for the gradient, in place of being kept for it."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax

from effjax.errors import UserError, nearest
from effjax.models.taps import Taps


class UnknownPart(UserError):
    """A pattern that matches no part of a network."""


@contextlib.contextmanager
def computed_anew(pattern: str) -> Iterator[None]:
    """Within it, of some of the modules that are applied only what goes in is kept for the gradient.

    Values and gradients are the same. Of modules within one another the outermost counts. On CPU it saves no memory:
    XLA finds there that the same is computed twice, and keeps it.

    Args:
      pattern: a regular expression for whole paths of modules, as ``stage[12]/block.*``; those of the parameters.

    Raises:
      UnknownPart: if no module that was applied has such a path; the network as a whole has none.

    References:
      Chen et al., 2016, Training Deep Nets with Sublinear Memory Cost, https://arxiv.org/abs/1604.06174
    """
    seen: list[str] = []
    within: list[str] = []
    found: list[str] = []

    def interceptor(call: Callable, args: Any, options: Any, context: Any) -> Any:
        path = "/".join(context.module.path)
        if context.method_name != "__call__" or within or not path:
            return call(*args, **options)
        seen.append(path)
        if not re.fullmatch(pattern, path):
            return call(*args, **options)
        found.append(path)
        leaves, structure = jax.tree.flatten((args, options))
        arrays = [leaf if isinstance(leaf, jax.Array) else None for leaf in leaves]
        recorders = [leaf for leaf in leaves if isinstance(leaf, Taps)]

        def applied(module: nn.Module, arrays: list[jax.Array | None]) -> Any:
            both = zip(leaves, arrays, strict=True)
            args, options = jax.tree.unflatten(structure, [leaf if array is None else array for leaf, array in both])
            before = [recorder.exchange({}) for recorder in recorders]
            within.append(path)
            try:
                result = module(*args, **options)
            finally:
                within.pop()
                # What is recorded is an output like others: nothing else may leave what is computed again.
                kept = [recorder.exchange(old) for recorder, old in zip(recorders, before, strict=True)]
            return result, kept

        result, kept = nn.remat(applied)(context.module, arrays)
        for recorder, more in zip(recorders, kept, strict=True):
            recorder.add(more)
        return result

    with nn.intercept_methods(interceptor):
        yield
    if not found:
        allowed = (
            nearest(pattern, set(seen)) if seen else "it has none (networks in few bits are one graph); allowed: ''"
        )
        raise UnknownPart(f"remat={pattern!r} matches no part of the network; {allowed}")
