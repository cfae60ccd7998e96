"""Many steps in one program: the host then dispatches once a block, not once a step."""

from collections.abc import Mapping

import jax

from effjax.steps.objective import Batch
from effjax.steps.state import TrainState
from effjax.steps.train import Metrics, Step
from effjax.typing import PyTree


def make_block(step: Step, *, unroll: bool):
    """Builds ``(state, resident, inputs) -> (state, metrics)``, which makes as many steps as ``inputs`` holds.

    Args:
      step: one pure training step.
      unroll: whether the steps are laid out one after the other (a longer program that a compiler can optimise across
        steps) or rolled into a loop.

    Returns:
      The block. ``inputs`` has a leading axis over steps; its metrics have one too. If a dataset lives on the device,
      ``resident`` is its arrays ``[N, ...]`` and the inputs are ``{"row": int32 [steps, B], …}``, rows and
      what else is of these steps; otherwise ``resident`` is empty and the inputs are the batches themselves.
    """

    def block(state: TrainState, resident: Mapping[str, jax.Array], inputs: PyTree) -> tuple[TrainState, Metrics]:
        def body(state: TrainState, one: Batch) -> tuple[TrainState, Metrics]:
            if resident:
                found = {name: array[one["row"]] for name, array in resident.items()}
                one = found | {name: array for name, array in one.items() if name != "row"}
            return step(state, one)

        if jax.tree.leaves(inputs)[0].shape[0] == 1:  # even unrolled, a scan of one step stays a loop
            state, metrics = body(state, jax.tree.map(lambda x: x[0], inputs))
            return state, jax.tree.map(lambda x: x[None], metrics)
        return jax.lax.scan(body, state, inputs, unroll=unroll)

    return block


def has_convolution(function, *args: PyTree) -> bool:
    """Whether ``function`` runs a convolution of XLA's on CPU. Only traces it; ``args`` may be shapes."""
    return any(eqn.primitive.name == "conv_general_dilated" for eqn in _equations(jax.make_jaxpr(function)(*args)))


def _equations(jaxpr):
    """Walks a program's operations, those of inner programs included."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        params = dict(eqn.params)
        if platforms := params.get("branches_platforms"):  # what is computed in another way elsewhere
            params["branches"] = (params["branches"][_on_cpu(platforms)],)
        for value in params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _equations(inner)


def _on_cpu(platforms) -> int:
    """Which of the branches is for CPUs: one that names them, or the one for all that are not named."""
    return next((i for i, names in enumerate(platforms) if names is None or "cpu" in names))
