"""Which weights of a student are removed, and when that is looked at anew."""

import dataclasses
import math
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from effjax import pruning
from effjax.errors import UserError, check_known
from effjax.pruning.masks import map_masked
from effjax.pruning.paths import by_path, tree_of
from effjax.steps import rng
from effjax.steps.masks import path_mask
from effjax.steps.sparsity import Sparsity
from effjax.steps.structures import WEIGHTS, n_of_m
from effjax.steps.student_masks import like, nested
from effjax.typing import PyTree

RENEWALS = ("gradual", "rigl", "set", "sr_ste")
_EXCHANGES = ("rigl", "set")
_UNPLANNED = Sparsity((), 0)


@dataclasses.dataclass(frozen=True)
class Pruning:
    """How the masks of a student's kernels are found and renewed.

    Attributes:
      sparsity: how many are removed, see :class:`Sparsity`; of no pieces until a plan says it.
      structure: ``"weights"``, any; or ``"n:m"``, of every m along the input channels n are kept.
      scope: among which weights scores are compared, see :func:`effjax.pruning.mask`.
      score: what a weight is worth, one of :data:`effjax.pruning.SCORES`.
      renewal: ``"gradual"``, what is removed stays so; ``"rigl"`` or ``"set"``, weights are exchanged at a constant
        sparsity; ``"sr_ste"``, removed weights still learn, and may come back.
      every: steps between two renewals.
      until: of all but gradual ones, the share of the run after which masks are renewed no more.
      exchanged: of RigL and SET, the share of the kept weights that is exchanged at first.
      decay: of SR-STE, what draws removed weights to 0.
      dense: a regular expression; kernels whose path it fully matches, such as ``student/conv1/kernel``, stay dense.

    Raises:
      ValueError: if these do not go together.
    """

    sparsity: Sparsity = _UNPLANNED
    structure: str = WEIGHTS
    scope: str = "global"
    score: str = "magnitude"
    renewal: str = "gradual"
    every: int = 100
    until: float = 0.75
    exchanged: float = 0.3
    decay: float = 2e-4
    dense: str = ""

    def __post_init__(self):
        check_known(self.renewal, RENEWALS, f"pruning.renewal={self.renewal!r}")
        check_known(self.scope, pruning.SCOPES, f"pruning.scope={self.scope!r}")
        check_known(self.score, pruning.SCORES, f"pruning.score={self.score!r}")
        pattern = n_of_m(self.structure)
        if pattern and self.scope != "global":
            raise ValueError(f"pruning.scope={self.scope!r}: {self.structure} compares within its groups; leave it out")
        if self.sparsity.pieces:
            self._check_plan(pattern)

    def _check_plan(self, pattern: tuple[int, int] | None) -> None:
        """Refuses a plan of sparsities that such masks cannot follow."""
        if not any(level.sparsity for _, level in self.sparsity.pieces):
            raise ValueError("sparsity is 0 from the first step to the last: nothing is removed; leave the plan out")
        if pattern:
            share = 1 - pattern[0] / pattern[1]
            for _, level in self.sparsity.pieces:
                if level.ramp or (level.sparsity and abs(level.sparsity - share) > 1e-3):
                    raise ValueError(f"sparsity: pruning.structure={self.structure!r} is 0 or {share:.4g}, at once")
        if self._exchanges and (pattern or self.sparsity.settled or not self.sparsity.start):
            raise ValueError(
                f"sparsity: pruning.renewal={self.renewal!r} exchanges single weights at one sparsity from the start, "
                "such as ((0, 0.9),)"
            )
        if self.renewal != "gradual" and self.score != "magnitude":
            raise ValueError(f"pruning.score={self.score!r}: pruning.renewal={self.renewal!r} looks at magnitudes")
        if self.renewal == "sr_ste" and self.sparsity.settled > self._last:
            raise ValueError(
                f"sparsity is reached at step {self.sparsity.settled}, masks are renewed until step {self._last} "
                f"(pruning.until={self.until:g}): let it be reached before"
            )
        if self.score != "magnitude" and self.sparsity.start:
            raise ValueError(f"sparsity: pruning.score={self.score!r} needs a gradient first: begin the plan with 0")

    @property
    def settled(self) -> int:
        """The first step at which a network is as sparse as in the end, and its removed weights are 0."""
        return max(self.sparsity.settled, self._last if self.renewal == "sr_ste" else 0)

    def paths(self, student: PyTree) -> tuple[str, ...]:
        """The kernels that are pruned, by their paths in the student's parameters.

        Raises:
          UserError: if there is none, or what is to stay dense matches none.
        """
        paths = pruning.prunable(student)
        if self.dense and paths:
            path_mask({"student": tree_of(dict.fromkeys(paths, 0), student)}, self.dense, key="pruning.dense")
        left = tuple(path for path in paths if not (self.dense and re.fullmatch(self.dense, f"student/{path}")))
        if not left:
            said = f"pruning.dense={self.dense!r} leaves" if paths else "the model has"
            raise UserError(f"plans.sparsity: {said} nothing to prune; a kernel of two axes or more is needed")
        return left

    def first(self, student: PyTree, seed: jax.Array, *, trained: bool = False) -> PyTree:
        """The masks before the first step.

        Args:
          student: its parameters.
          seed: of the run.
          trained: whether they are what another training has left; of what was just drawn, RigL and SET draw theirs.

        Raises:
          UserError: if there is nothing to prune.
        """
        paths = self.paths(student)
        if self._exchanges and not trained:
            key = rng.purpose_key(seed, 0, "masks")
            leaves = by_path(student)
            drawn = {
                path: jax.random.uniform(jax.random.fold_in(key, i), leaves[path].shape) for i, path in enumerate(paths)
            }
            scores = tree_of(drawn, student)
        else:
            scores = pruning.magnitude(student)
        return nested(self._of_scores(scores, self.sparsity(0), paths))

    def next(
        self, student: PyTree, masks: PyTree, gradients: PyTree, trained: PyTree, seed: jax.Array, step: jax.Array
    ) -> PyTree:
        """The masks after an update.

        Args:
          student: its parameters, updated.
          masks: before the update.
          gradients: what it was updated by, also of removed weights.
          trained: whether a parameter is trained in this stage, by parameter.
          seed: of the run.
          step: how many updates have been made.
        """

        def renewed() -> PyTree:
            if self._exchanges:
                on = by_path(trained)  # what is not trained would stay 0 where it comes
                moving = tree_of({path: kept for path, kept in by_path(masks).items() if on[path]}, student)
                new = {**by_path(masks), **by_path(self._exchange(student, moving, gradients, seed, step))}
                return nested(tree_of(new, student))
            scores = pruning.SCORES[self.score](student, gradients)
            if self.renewal == "gradual":
                scores = map_masked(lambda kept, x: jnp.where(kept, x, -1.0), like(masks, student), scores)
            new = self._of_scores(scores, self.sparsity(step), tuple(by_path(masks)))
            if self.renewal != "gradual":
                return nested(new)
            return jax.tree.map(jnp.logical_and, masks, nested(new))

        return jax.lax.cond(self._is_due(step), renewed, lambda: masks)

    def is_soft(self, step: jax.Array) -> jax.Array:
        """Whether removed weights still learn after so many updates."""
        return step < self._last if self.renewal == "sr_ste" else jnp.zeros((), bool)

    def through(self, masks: PyTree) -> tuple[Callable[[PyTree], PyTree], ...]:
        """What the student's parameters go through on their way into the network."""
        if self.renewal != "sr_ste":
            return ()  # they are 0 where they lie
        return (lambda student: pruning.sr_ste(student, like(masks, student), decay=self.decay),)

    def _of_scores(self, scores: PyTree, sparsity: jax.Array, paths: tuple[str, ...]) -> PyTree:
        if not self._pattern:
            return pruning.mask(scores, sparsity, scope=self.scope, paths=paths)
        masks = pruning.n_of_m_mask(scores, *self._pattern, paths=paths)
        return jax.tree.map(lambda kept: kept | (sparsity == 0), masks)

    def _exchange(self, student: PyTree, masks: PyTree, gradients: PyTree, seed: jax.Array, step: jax.Array) -> PyTree:
        share = pruning.drop_fraction(step, end=self._last, alpha=self.exchanged)
        if self.renewal == "rigl":
            return pruning.rigl(student, masks, gradients, share)[1]
        return pruning.set_update(rng.purpose_key(seed, step, "masks"), student, masks, share)[1]

    def _is_due(self, step: jax.Array) -> jax.Array:
        regular = (step % self.every == 0) & (step > 0)
        if self._exchanges:
            return regular & (step < self._last)
        last = self.settled
        corners = np.array([*(corner for corner in self.sparsity.corners if corner < last), last])
        return (regular & (step < last)) | (step == corners).any()

    @property
    def _exchanges(self) -> bool:
        return self.renewal in _EXCHANGES

    @property
    def _pattern(self) -> tuple[int, int] | None:
        """The n and m of its groups; None where any weight may be removed."""
        return n_of_m(self.structure)

    @property
    def _last(self) -> int:
        """The step from which on masks are renewed no more."""
        return max(math.floor(self.until * self.sparsity.total), 1)
