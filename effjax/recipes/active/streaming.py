"""A pool that passes by once, example by example: what is not asked for at once is gone."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.data import draws
from effjax.errors import UserError, check_known
from effjax.files import read_arrays, write_whole
from effjax.recipes.active.folder import LoopFolder
from effjax.runtime.hosts import barrier, is_primary
from effjax.selection import streams

_ORDER = 2**40  # beyond all epochs: the stream's order is no epoch's


class Stream:
    """The order of a stream, and where a loop stands in it.

    Args:
      settings: see :func:`effjax.recipes.schema.stream`.
      seed: of the order, and of a policy that draws.
      parts: the pool's global ids; what came later follows what was there before.
      gone: ids that are passed over.

    Raises:
      UserError: if the policy or one of its options cannot be used.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int, parts: Sequence[np.ndarray], gone: Collection[int] = ()):
        self.policy, self.budget = _make(settings, seed), settings["budget"]
        orders = [ids[draws.permutation((seed, _ORDER + number), len(ids))] for number, ids in enumerate(parts)]
        self.order, self._gone = np.concatenate(orders), np.fromiter(gone, np.int64)

    def next_round(
        self,
        round_: int,
        folder: LoopFolder,
        scores_of: Callable[[np.ndarray], np.ndarray] | None,
        count: int,
    ) -> tuple[list[int], list[float] | None]:
        """Lets examples pass until the policy has asked for some; without scores, takes them as they come.

        Args:
          round_: the round that is chosen for.
          folder: the loop's, where the policy's state after each round is kept.
          scores_of: from global ids to their scores by the network of the round before; None where there is none yet.
          count: how many examples a round asks for on average; without scores, exactly.

        Returns:
          Global ids and their scores, in the order they came; none where the stream has ended.
        """
        position, state = self._load(folder.stream_file(round_ - 1)) if round_ else (0, self.policy.start)
        if scores_of is None:
            rows = position + np.flatnonzero(~np.isin(self.order[position:], self._gone))[:count]
            self._save(folder.stream_file(round_), int(rows[-1]) + 1 if len(rows) else len(self.order), state)
            return self.order[rows].tolist(), None
        ids: list[int] = []
        scores: list[float] = []
        while not ids and position < len(self.order):
            passing = self.order[position : position + math.ceil(count / self.budget)]
            position += len(passing)
            passing = passing[~np.isin(passing, self._gone)]
            if not len(passing):
                continue
            found = scores_of(passing)
            state, queries = jax.lax.scan(self.policy.step, state, jnp.asarray(found, jnp.float32))
            asked = np.asarray(queries)
            ids, scores = passing[asked].tolist(), found[asked].tolist()
        self._save(folder.stream_file(round_), position, state)
        return ids, scores

    def _save(self, path: Path, position: int, state: Any) -> None:
        if is_primary():
            self._write(path, position, state)
        barrier(f"{path}")

    def _write(self, path: Path, position: int, state: Any) -> None:
        leaves: dict[str, Any] = {
            f"leaf_{number}": np.asarray(_plain(leaf)) for number, leaf in enumerate(jax.tree.leaves(state))
        }
        write_whole(path, lambda file: np.savez(file, position=position, **leaves))

    def _load(self, path: Path) -> tuple[int, Any]:
        if not path.exists():
            raise UserError(f"{path} is missing: it says where the stream stands; restore it, or start the loop anew")
        found = read_arrays(path, "it says where the stream stands; restore it, or start the loop anew")
        leaves = jax.tree.leaves(self.policy.start)
        saved = [_like(jnp.asarray(found[f"leaf_{number}"]), leaf) for number, leaf in enumerate(leaves)]
        return int(found["position"]), jax.tree.unflatten(jax.tree.structure(self.policy.start), saved)


def _make(settings: Mapping[str, Any], seed: int) -> streams.Policy:
    options = {name: value for name, value in settings.items() if name not in ("policy", "budget")}
    make = streams.POLICIES[settings["policy"]]
    known = [name for name in inspect.signature(make).parameters if name not in ("key", "budget")]
    for name in options:
        check_known(name, known, f"query.stream.{name} is no option of {settings['policy']}")
    needs_key = "key" in inspect.signature(make).parameters
    given: Sequence[Any] = (jax.random.key(seed),) if needs_key else ()
    try:
        return make(*given, settings["budget"], **options)
    except TypeError as error:
        raise UserError(f"query.stream: {error}") from error


def _plain(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _like(saved: jax.Array, leaf: jax.Array) -> jax.Array:
    return jax.random.wrap_key_data(saved) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else saved
