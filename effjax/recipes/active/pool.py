"""Predictions over a pool that may be larger than memory: it streams through once, cut over devices and processes."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.data.base import Source
from effjax.data.pipeline import eval_batches
from effjax.errors import UserError
from effjax.numerics import Unusable, are_probs, check_probs
from effjax.runtime import Backend
from effjax.selection import RunningTopK
from effjax.steps import Network, make_predictions
from effjax.steps.predictions import ItemsOf
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

Score = Callable[[jax.Array], jax.Array]
Rank = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

_SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def predictions_of(who: str) -> Iterator[None]:
    """Says whose the predictions are that cannot be used.

    Raises:
      UserError: naming the network.
    """
    try:
        yield
    except Unusable as error:
        raise UserError(f"{who}: {error}") from error


class PoolPredictor:
    """One network's, or one ensemble's, predictions of many examples; its programs are compiled once.

    Args:
      network: the network, with what it is shown.
      items: what of its predictions can be doubted, see :func:`effjax.steps.make_predictions`.
      kind: of predictions, see :func:`effjax.steps.make_predictions`.
      backend: the devices.
      batch_size: examples at a time, over all devices.
      passes: see :func:`effjax.steps.make_predictions`.

    Raises:
      UserError: if there is no such kind, its passes could not differ, or the devices do not divide the batch.
    """

    def __init__(
        self, network: Network, items: ItemsOf, kind: str, *, backend: Backend, batch_size: int, passes: int = 25
    ):
        backend.check_batch_size(batch_size)
        self._predict = make_predictions(network, items, kind, passes=passes, platform=backend.platform)
        self._features = (*network.inputs, "id", "mask")
        self._backend, self._batch_size = backend, batch_size
        self._programs: dict[Any, Callable] = {}

    def __call__(self, variables: PyTree, source: Source, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Predicts a source that fits into memory.

        Args:
          variables: of the network, on the host; of an ensemble with the members' axis first.
          source: what to predict.
          seed: of the passes' draws.

        Returns:
          Probabilities ``[M, N, C]`` and features ``[N, D]``, float32, in row order.

        Raises:
          Unusable: if they are no probabilities.
        """

        def predict(variables: PyTree, resident: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
            found = self._predict(variables, batch, resident["seed"])
            return self._gathered(_of_examples(found["probs"]), 1), self._gathered(found["features"], 0)

        placed, resident = self._backend.replicate(variables), self._backend.replicate({"seed": np.uint32(seed)})
        probs, features = [], []
        for batch in self._batches(source):
            program = self._program("predict", predict, placed, resident, batch, donate=False)
            found = self._backend.fetch(program(placed, resident, batch))
            probs.append(found[0])
            features.append(found[1])
        found = np.concatenate(probs, 1)[:, : len(source)]
        check_probs("predictions", found)
        return found, np.concatenate(features)[: len(source)]

    def top(
        self, variables: PyTree, source: Source, k: int, score: Score, rank: Rank | None = None, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k highest scores of a source of any size: only they are kept, beside one batch.

        Args:
          variables: as above.
          source: the pool.
          k: how many.
          score: from ``probs [M, B, C]`` to ``[B]``, one of :mod:`effjax.uncertainty`.
          rank: what is compared in place of the score, from ``(scores [B], ids [B], key)`` to ``[B]``.
          seed: of the passes' draws, of the key, and of the lots that tell equal ones apart.

        Returns:
          Global ids and what was compared, ``[k]`` each, the highest first.

        Raises:
          Unusable: if a score is not finite, or was taken of what are no probabilities.
        """

        def update(best: RunningTopK, resident: PyTree, batch: PyTree) -> tuple[RunningTopK, dict]:
            probs = _of_examples(self._predict(resident["variables"], batch, resident["seed"])["probs"])
            scores = score(probs)
            if rank is not None:
                scores = rank(scores, batch["id"], jax.random.key(resident["seed"]))
            scores = jnp.where(are_probs(probs).all(0), scores, jnp.nan)  # which is counted, and said at the end
            scores, ids, mask = (self._gathered(x, 0) for x in (scores, batch["id"], batch["mask"]))
            return best.update(scores, ids, where=mask), {}

        best = self._backend.replicate(RunningTopK.empty(k, seed))
        resident = self._backend.replicate({"variables": variables, "seed": np.uint32(seed)})
        for batch in self._batches(source):
            program = self._program(("top", k, score, rank), update, best, resident, batch, donate=True)
            best, _ = program(best, resident, batch)
        return self._backend.fetch(best).best()

    def _gathered(self, array: jax.Array, axis: int) -> jax.Array:
        """Of all devices, where the function sees one device's part."""
        name = self._backend.axis_name
        return array if name is None else jax.lax.all_gather(array, name, axis=axis, tiled=True)

    def _program(self, name, function, state: PyTree, resident: PyTree, batch: PyTree, *, donate: bool) -> Callable:
        key = (name, *((feature, array.shape) for feature, array in batch.items()))
        if key not in self._programs:
            self._programs[key] = self._backend.compile(function, state, resident, batch, axis=0, donate=donate)
        return self._programs[key]

    def _batches(self, source: Source) -> Iterator[Mapping[str, jax.Array]]:
        """Placed batches, one read while another is computed on; says how far it is where that takes long."""
        where = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        start = said = time.perf_counter()
        with eval_batches(source, self._batch_size, **where) as batches:
            for number, batch in enumerate(batches):
                yield self._backend.shard({name: batch[name] for name in self._features}, axis=0)
                now = time.perf_counter()
                if now - said > _SECONDS_BETWEEN_LINES:
                    said, done = now, (number + 1) * self._batch_size
                    speed = done / (now - start)
                    _log.info(
                        "predicted %s of %s images, %s a second", *(f"{int(x):,}" for x in (done, len(source), speed))
                    )


def _of_examples(probs: jax.Array) -> jax.Array:
    """``[M, B, C]`` of ``[M, B, 1, C]``: what is asked for is a whole example, of which one thing can be doubted."""
    return probs[:, :, 0]
