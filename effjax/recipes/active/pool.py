"""Predictions over a pool that may be larger than memory: it streams through once, cut over devices and processes."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from effjax.data.base import Source
from effjax.data.pipeline import eval_batches
from effjax.errors import UserError
from effjax.numerics import Unusable, are_probs, check_probs
from effjax.runtime import Backend
from effjax.selection import RunningTopK
from effjax.selection.registry import Objects
from effjax.steps import Network, make_predictions
from effjax.steps.predictions import Following, ItemsOf
from effjax.typing import PyTree
from effjax.uncertainty import BY_CLASS, OF_PLACES, aggregate

_log = logging.getLogger("effjax")

Score = Callable[..., jax.Array]
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


class Guide(NamedTuple):
    """How the items of an example count when it is scored, as the last network's validation says.

    Attributes:
      floor: how sure a network has to be of an item for it to count, from 0 to 1.
      weights: what an item counts for by its class ``[K]``; None where all classes are alike.
    """

    floor: float = 0.0
    weights: np.ndarray | None = None

    def arrays(self) -> dict[str, np.ndarray | np.float32]:
        """What a program reads of it."""
        weights = {} if self.weights is None else {"weights": np.asarray(self.weights, np.float32)}
        return {"floor": np.float32(self.floor), **weights}


_PLAIN = Guide()


class PoolPredictor:
    """One network's, or one ensemble's, predictions of many examples; its programs are compiled once.

    Args:
      network: the network, with what it is shown.
      items: what of its predictions can be doubted, see :func:`effjax.steps.make_predictions`.
      kind: of predictions, see :func:`effjax.steps.make_predictions`.
      backend: the devices.
      batch_size: examples at a time, over all devices.
      passes: see :func:`effjax.steps.make_predictions`.
      following: see :func:`effjax.steps.make_predictions`.
      aggregate: from the scores of an example's items to its own, see :func:`effjax.uncertainty.aggregate`.

    Raises:
      UserError: if there is no such kind, its passes could not differ, or the devices do not divide the batch.
    """

    def __init__(
        self,
        network: Network,
        items: ItemsOf,
        kind: str,
        *,
        backend: Backend,
        batch_size: int,
        passes: int = 25,
        aggregate: str = "max",
        following: Following | None = None,
    ):
        backend.check_batch_size(batch_size)
        self._aggregate = aggregate
        self._predict = make_predictions(
            network, items, kind, passes=passes, platform=backend.platform, following=following
        )
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
          Probabilities ``[M, N, C]`` and features ``[N, D]``, float32, in row order. Of an example with several items
          the probabilities are their mean; with none, its last class: nothing.

        Raises:
          Unusable: if they are no probabilities.
        """

        def predict(variables: PyTree, resident: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
            found = self._predict(variables, batch, resident["seed"])
            return self._gathered(_of_examples(found), 1), self._gathered(found["features"], 0)

        parts = self._each("predict", predict, variables, source, {"seed": np.uint32(seed)})
        probs, features = zip(*parts, strict=True)
        found = np.concatenate(probs, 1)[:, : len(source)]
        check_probs("predictions", found)
        return found, np.concatenate(features)[: len(source)]

    def top(
        self,
        variables: PyTree,
        source: Source,
        k: int,
        score: Score,
        rank: Rank | None = None,
        seed: int = 0,
        guide: Guide = _PLAIN,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k highest scores of a source of any size: only they are kept, beside one batch.

        Args:
          variables: as above.
          source: the pool.
          k: how many.
          score: from ``probs [M, B, C]`` to ``[B]``, one of :mod:`effjax.uncertainty`.
          rank: what is compared in place of the score, from ``(scores [B], ids [B], key)`` to ``[B]``.
          seed: of the passes' draws, of the key, and of the lots that tell equal ones apart.
          guide: how items count.

        Returns:
          Global ids and what was compared, ``[k]`` each, the highest first.

        Raises:
          Unusable: if a score is not finite, or was taken of what are no probabilities.
        """

        def update(best: RunningTopK, resident: PyTree, batch: PyTree) -> tuple[RunningTopK, dict]:
            found = self._predict(resident["variables"], batch, resident["seed"])
            scores, valid = self._scored(found, score, resident)
            if rank is not None:
                scores = rank(scores, batch["id"], jax.random.key(resident["seed"]))
            scores = jnp.where(valid, scores, jnp.nan)  # which is counted, and said at the end
            scores, ids, mask = (self._gathered(x, 0) for x in (scores, batch["id"], batch["mask"]))
            return best.update(scores, ids, where=mask), {}

        best = self._backend.replicate(RunningTopK.empty(k, seed))
        resident = self._backend.replicate({"variables": variables, **_resident(seed, guide)})
        for batch in self._batches(source):
            program = self._program(("top", k, score, rank), update, best, resident, batch, donate=True)
            best, _ = program(best, resident, batch)
        return self._backend.fetch(best).best()

    def scores(
        self, variables: PyTree, source: Source, score: Score, seed: int = 0, guide: Guide = _PLAIN
    ) -> np.ndarray:
        """The scores ``[N]`` of a source that fits into memory, in row order; see :meth:`top`.

        Raises:
          Unusable: if a score was taken of what are no probabilities.
        """

        def function(variables: PyTree, resident: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
            found = self._scored(self._predict(variables, batch, resident["seed"]), score, resident)
            return self._gathered(found[0], 0), self._gathered(found[1], 0)

        parts = self._each(("scores", score), function, variables, source, _resident(seed, guide))
        scores, valid = (np.concatenate(arrays)[: len(source)] for arrays in zip(*parts, strict=True))
        if wrong := int((~valid).sum()):
            raise Unusable(f"predictions: those of {wrong:,} of {len(source):,} examples are no probabilities")
        return scores

    def objects(self, variables: PyTree, source: Source, seed: int = 0, guide: Guide = _PLAIN) -> Objects:
        """What is found in each example of a source that fits into memory: of several predictions, the mean."""

        def function(variables: PyTree, resident: PyTree, batch: PyTree) -> tuple[jax.Array, ...]:
            found = self._predict(variables, batch, resident["seed"])
            present = found["present"] & (found["sure"] >= resident["floor"])
            parts = (found["probs"].mean(0), present, found["item_features"])
            return tuple(self._gathered(array, 0) for array in parts)

        parts = self._each("objects", function, variables, source, _resident(seed, guide))
        return Objects(*(np.concatenate(arrays)[: len(source)] for arrays in zip(*parts, strict=True)))

    def _each(self, name, function, variables: PyTree, source: Source, resident: PyTree) -> list[Any]:
        """What a function ``(variables, resident, batch)`` finds in each batch of a source, on the host."""
        placed, resident = self._backend.replicate(variables), self._backend.replicate(resident)

        def of_batch(batch: PyTree) -> Any:
            return self._program(name, function, placed, resident, batch, donate=False)(placed, resident, batch)

        return list(self._backend.fetch_each(map(of_batch, self._batches(source))))

    def _scored(
        self, found: Mapping[str, jax.Array], score: Score, guide: Mapping[str, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """The scores of a batch ``[B]``, and whether they were taken of probabilities ``[B]``."""
        probs, present = found["probs"], found["present"]
        members, batch, items, classes = probs.shape
        each = probs.reshape(members, batch * items, classes)
        valid = are_probs(each).all(0).reshape(batch, items)
        further = ()
        if score in OF_PLACES.values():
            further = (found["agreement"].reshape(-1, batch * items),)
        elif score in BY_CLASS.values():
            further = (guide["weights"],)
        scores = score(each, *further).reshape(batch, items)
        if "sure" not in found:  # the example is its one item
            return scores[:, 0], valid[:, 0]
        present &= found["sure"] >= guide["floor"]
        return aggregate(scores, present, self._aggregate), (valid | ~present).all(-1)

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


def _resident(seed: int, guide: Guide) -> dict[str, Any]:
    """What programs that score read beside a network and a batch."""
    return {"seed": np.uint32(seed), **guide.arrays()}


def _of_examples(found: Mapping[str, jax.Array]) -> jax.Array:
    """``[M, B, C]`` of ``[M, B, I, C]``: what is asked for is a whole example; often it has one item."""
    probs, present = found["probs"], found["present"]
    if "sure" not in found:
        return probs[:, :, 0]
    there = present[..., None]
    mean = jnp.where(there, probs, 0).sum(2) / jnp.maximum(there.sum(1), 1)
    nothing = jnp.zeros(probs.shape[-1], probs.dtype).at[-1].set(1)
    return jnp.where(present.any(-1)[:, None], mean, nothing)
