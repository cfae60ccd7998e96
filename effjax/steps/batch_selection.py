"""Which of more candidates than a step trains on it does train on. One more way is one function and one registry line.

A step that selects is given ``candidates`` times as many examples as it trains on, scores them, and keeps the highest:
always as many, so that shapes are fixed. Which candidates a step is given is a function of (seed, step) as ever; what
they are chosen by lies in the state.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from effjax.curricula import el2n
from effjax.errors import UserError, check_known
from effjax.steps.weightings import known_options
from effjax.typing import Batch, PyTree


class Candidates(NamedTuple):
    """What candidates are chosen by; under ``pmap`` those of one device.

    Attributes:
      batch: the candidates as they are stored: ``id`` ``[C]``, ….
      losses: the student's, ``[C]``: the weighted sums of the terms; None where the student is not asked.
      preds: its predictions, ``[C, ...]``, or None.
      keys: a PRNG key each, ``[C]``, by its id.
      memory: what the selection remembers.
    """

    batch: Batch
    losses: jax.Array | None
    preds: Any
    keys: jax.Array
    memory: PyTree


@dataclasses.dataclass(frozen=True)
class BatchSelection:
    """How a step chooses.

    Attributes:
      score: from candidates to their scores ``[C]``, and what each counts for if it is chosen, ``[C]``, or None: all
        the same. One with the weight 0 is not trained on though it fills a place.
      asks: whether the student is asked about every candidate, without a gradient, for a third of what training on it
        costs.
      reference: whether it needs a score of each example by other networks: ``memory["reference"]``, by global id.
      remember: makes what it remembers, from the number of ids; None: nothing.
      learn: from what it remembers, the ids ``[B]`` that the step has trained on and their losses ``[B]``, to what it
        remembers after the step; None leaves it.
      candidates: how many there are for each that is trained on; 1: it does not choose.
    """

    score: Callable[[Candidates], tuple[jax.Array, jax.Array | None]]
    asks: bool = True
    reference: bool = False
    remember: Callable[[int], PyTree] | None = None
    learn: Callable[[PyTree, jax.Array, jax.Array], PyTree] | None = None
    candidates: float = 1.0

    @property
    def active(self) -> bool:
        """Whether there is anything to choose."""
        return self.candidates > 1.0


def uniform() -> BatchSelection:
    """At random: the control, which sees as many examples for what it trains on."""
    return BatchSelection(lambda x: (jax.vmap(jax.random.uniform)(x.keys), None), asks=False)


def loss() -> BatchSelection:
    """The highest losses."""
    return BatchSelection(lambda x: (cast(jax.Array, x.losses), None))


def error_norm() -> BatchSelection:
    """The largest errors of probabilities: what bounds the norm of the gradient."""

    def score(x: Candidates) -> tuple[jax.Array, None]:
        if not hasattr(x.preds, "shape") or x.batch["label"].ndim != 1:
            raise UserError("selection.score='el2n' looks at the probabilities of classes; take 'loss'")
        return el2n(x.preds, x.batch["label"]), None

    return BatchSelection(score)


def reducible_loss() -> BatchSelection:
    """RHO-loss: the highest losses beyond those of networks that were trained on other data."""
    return BatchSelection(lambda x: (_beyond_reference(x), None), reference=True, remember=_table)


def learnability(*, temperature: float = 1.0) -> BatchSelection:
    """JEST's: drawn without replacement, each by ``exp((loss − reference) / temperature)``.

    Where an example's loss does not depend on the others in the batch, as that of a classifier, to choose in chunks of
    which each depends on those before is to draw so.
    """

    def score(x: Candidates) -> tuple[jax.Array, None]:
        return _beyond_reference(x) / temperature + jax.vmap(jax.random.gumbel)(x.keys), None

    return BatchSelection(score, reference=True, remember=_table)


def infobatch(*, dropped: float = 0.5) -> BatchSelection:
    """InfoBatch: of the examples whose loss was below the mean, a share is dropped, and the others count for it.

    An example's loss is that of the last step that trained on it, and is remembered; one that no step has trained on is
    not dropped. In expectation the gradient is that of all candidates, but for its length. What is left beyond the
    places of the batch is not trained on either, each by the same odds: so ``candidates`` is best as large as what is
    dropped leaves room for: 1.5 to 1.8 where half of the examples below the mean are, which most are.
    """

    def score(x: Candidates) -> tuple[jax.Array, jax.Array]:
        known = x.memory["loss"]
        seen = known > -jnp.inf
        mean = jnp.where(seen, known, 0.0).sum() / jnp.maximum(seen.sum(), 1)
        own = known[x.batch["id"]]
        easy = (own > -jnp.inf) & (own < mean)
        stays = ~easy | (jax.vmap(jax.random.uniform)(x.keys) >= dropped)
        return stays.astype(jnp.float32), jnp.where(easy, 1.0 / (1.0 - dropped), 1.0) * stays

    def learn(memory: PyTree, ids: jax.Array, losses: jax.Array) -> PyTree:
        # Of one that is there twice, the higher: which is written last is no one's to say.
        return {"loss": memory["loss"].at[ids].set(-jnp.inf).at[ids].max(losses)}

    return BatchSelection(score, False, remember=lambda count: {"loss": jnp.full(count, -jnp.inf)}, learn=learn)


def _beyond_reference(x: Candidates) -> jax.Array:
    return cast(jax.Array, x.losses) - x.memory["reference"][x.batch["id"]]


def _table(count: int) -> PyTree:
    """Where the reference's scores are put once they are known."""
    return {"reference": jnp.zeros(count)}


SELECTIONS: dict[str, Callable[..., BatchSelection]] = {
    "uniform": uniform,
    "loss": loss,
    "el2n": error_norm,
    "rho_loss": reducible_loss,
    "learnability": learnability,
    "infobatch": infobatch,
}


def make_selection(score: str, **options: Any) -> BatchSelection:
    """Makes the selection by ``score``.

    Raises:
      UserError: if there is none of that name, or it has no such option.
    """
    check_known(score, SELECTIONS, f"selection.score={score!r}")
    return SELECTIONS[score](**known_options(f"selection, {score}", SELECTIONS[score], options))
