"""Several predictions of one example, whose disagreement says how sure a network can be."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.errors import UserError, check_known
from effjax.models import Outputs
from effjax.steps import rng
from effjax.steps.dispatch import has_convolution
from effjax.steps.members import over_members
from effjax.steps.network import Batch, Network
from effjax.steps.preflight import depends_on_first
from effjax.typing import PyTree

Predict = Callable[..., Mapping[str, jax.Array]]


class Items(NamedTuple):
    """What of an example can be doubted: its class, or each of its boxes, words, parts.

    Attributes:
      probs: ``[M, B, I, C]``: by member, example and item, what the item may be.
      present: booleans ``[B, I]``, false where an example has fewer items.
      features: ``[B, I, D]`` of each item; None where they are the example's.
      sure: ``[B, I]``: how sure the predictions are, on the whole, that there is such an item; None where it is there.
    """

    probs: jax.Array
    present: jax.Array
    features: jax.Array | None = None
    sure: jax.Array | None = None

    def arrays(self) -> dict[str, jax.Array]:
        """By name, those that there are."""
        further = {"item_features": self.features, "sure": self.sure}
        known = {name: array for name, array in further.items() if array is not None}
        return {"probs": self.probs, "present": self.present, **known}


ItemsOf = Callable[[PyTree], Items]


class Following(NamedTuple):
    """How items are found again in an augmented image: they are moved as targets are, and looked for there.

    Attributes:
      targets: from the predictions of a plain batch to its items as targets, which the view moves, by feature.
      found: from the predictions of an augmented batch, these targets where they are now, and the plain batch's items
        ``[B, I, C]`` to what each is taken for there ``[B, I, C]`` and how well its place agrees ``[B, I]``, from 0 to
        1; an item that has left the image is as it was, and agrees.
    """

    targets: Callable[[PyTree], Mapping[str, jax.Array]]
    found: Callable[[PyTree, Mapping[str, jax.Array], jax.Array], tuple[jax.Array, jax.Array]]


KINDS = ("single", "ensemble", "dropout", "augmentations")
FEATURES = "penultimate"


def make_predictions(
    network: Network,
    items: ItemsOf,
    kind: str,
    *,
    passes: int = 25,
    platform: str = "cpu",
    following: Following | None = None,
) -> Predict:
    """Builds the pure function ``(variables, batch, seed=0) -> {"probs", "present", "features"}``.

    ``probs`` is ``[M, B, I, C]``, by member, example and item; ``present`` ``[B, I]``; ``features`` ``[B, D]``. Where
    items are followed through augmentations, the first member is the plain image, and ``agreement`` ``[M - 1, B, I]``
    says how well the places of the others agree with it.

    The seed is of the passes' draws: what a pass draws for an example depends on (seed, pass, id) alone, not on the
    batch.

    Args:
      network: the network, with what it is shown; the randomness of its view is what ``"augmentations"`` draws from.
      items: from the predictions of M members, their axis first, to what can be doubted of them: a task's.
      kind: ``"single"``: one prediction; ``"ensemble"``: one of each member, the variables with the members' axis
        first; ``"dropout"``: as many passes with dropout on, each with masks of its own; ``"augmentations"``: of as
        many augmented versions of the image. Features are of the plain image, the mean over members.
      passes: M of ``"dropout"`` and ``"augmentations"``.
      platform: that it will run on: on CPU members with convolutions are laid out one after the other.
      following: how items that have places are found again in augmented images; None: they are not looked for, an
        example's I items are the same in all of its versions.

    Returns:
      The function.

    Raises:
      UserError: if there is no such kind, or nothing is random that the passes could differ by.

    References:
      Gal & Ghahramani, `Dropout as a Bayesian Approximation <https://arxiv.org/abs/1506.02142>`_, 2016; Beluch et al.,
      `The Power of Ensembles for Active Learning in Image Classification
      <https://doi.org/10.1109/CVPR.2018.00976>`_, 2018; Ayhan & Berens, `Test-time Data Augmentation
      <https://openreview.net/forum?id=rJZz-knjz>`_, 2018.
    """
    check_known(kind, KINDS, f"predictions={kind!r}")
    view, tapped = network.view.of_one(), network.tapped((FEATURES,))
    if kind == "augmentations" and not view.is_random:
        raise UserError("predictions='augmentations': the view has no augmentation: set view.shift, flip, crop, …")

    def one(variables: PyTree, seen: Batch, keys: jax.Array | None = None) -> tuple[PyTree, jax.Array]:
        outputs = tapped(variables, seen, train=False, dropout_keys=keys)
        return outputs.preds, outputs.taps[FEATURES].astype(jnp.float32)

    def found(preds: PyTree, features: jax.Array) -> Mapping[str, jax.Array]:
        return {**items(preds).arrays(), "features": features}

    def pass_keys(seed: jax.Array | int, number: jax.Array, ids: jax.Array) -> jax.Array:
        return rng.example_keys(rng.purpose_key(seed, number, f"predict/{kind}"), ids)

    def single(variables: PyTree, batch: Batch, seed: jax.Array | int = 0) -> Mapping[str, jax.Array]:
        preds, features = one(variables, view.see(batch))
        return found(jax.tree.map(lambda x: x[None], preds), features)

    def ensemble(variables: PyTree, batch: Batch, seed: jax.Array | int = 0) -> Mapping[str, jax.Array]:
        seen = view.see(batch)
        own = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), variables)
        unroll = platform == "cpu" and has_convolution(one, own, seen)
        preds, features = over_members(one, (0, None), unroll=unroll)(variables, seen)
        return found(preds, features.mean(0))

    def dropout(variables: PyTree, batch: Batch, seed: jax.Array | int = 0) -> Mapping[str, jax.Array]:
        seen = view.see(batch)
        # Mapped over the masks alone: what lies before the first of them is computed once for all passes.
        masked = jax.vmap(lambda number: one(variables, seen, pass_keys(seed, number, batch["id"]))[0])
        return found(masked(jnp.arange(passes)), one(variables, seen)[1])

    def augmentations(variables: PyTree, batch: Batch, seed: jax.Array | int = 0) -> Mapping[str, jax.Array]:
        def augmented(number: jax.Array) -> PyTree:
            return one(variables, view.see(batch, pass_keys(seed, number, batch["id"])))[0]

        preds = jax.vmap(augmented)(jnp.arange(passes))
        return found(preds, one(variables, view.see(batch))[1])

    def followed(
        following: Following, variables: PyTree, batch: Batch, seed: jax.Array | int = 0
    ) -> Mapping[str, jax.Array]:
        plain, features = one(variables, view.see(batch))
        own = items(jax.tree.map(lambda x: x[None], plain))
        marked = {**batch, **following.targets(plain)}

        def version(number: jax.Array) -> tuple[jax.Array, jax.Array]:
            seen = view.see(marked, pass_keys(seed, number, batch["id"]))
            return following.found(one(variables, seen)[0], seen, own.probs[0])

        probs, agreement = jax.lax.map(version, jnp.arange(passes))
        several = {"probs": jnp.concatenate([own.probs, probs]), "agreement": agreement}
        return {**own.arrays(), **several, "features": features}

    several = augmentations if following is None else functools.partial(followed, following)
    return {"single": single, "ensemble": ensemble, "dropout": dropout, "augmentations": several}[kind]


def check_dropout(model: nn.Module, variables: PyTree, *inputs: jax.Array | jax.ShapeDtypeStruct) -> None:
    """Refuses Monte-Carlo dropout of a network that drops nothing: all its passes would be alike.

    Args:
      model: the network.
      variables: its variables, or their shapes.
      *inputs: what it reads of one example, ``[1, ...]``, or its shape; first of all an image, float.

    Raises:
      UserError: naming the network.
    """

    def predictions(data: jax.Array, variables: PyTree, *inputs: jax.Array) -> PyTree:
        return cast(Outputs, model.apply(variables, *inputs, dropout_keys=jax.random.wrap_key_data(data))).preds

    data = jax.ShapeDtypeStruct(jax.random.key_data(jax.random.split(jax.random.key(0), 1)).shape, jnp.uint32)
    if not depends_on_first(predictions, data, variables, *inputs):
        raise UserError(
            f"predictions='dropout': {type(model).__name__} drops nothing (its option dropout is 0, or it has none); "
            "use predictions='ensemble', or a network with dropout"
        )
