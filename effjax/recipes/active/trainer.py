"""Training in the rounds of labelling loops: of one loop by itself, or of several loops in one program."""

import dataclasses
import functools
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np

from effjax.data.base import Source
from effjax.data.centre_squares import boxes_in_square
from effjax.data.feeds import ChosenFeed, ResidentFeed
from effjax.data.labelled import labelled
from effjax.data.resident import as_arrays
from effjax.errors import UserError
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.shown import is_photo, size_of
from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.identity import as_of_today
from effjax.recipes.build.trained import TrainedRun
from effjax.runtime import Job, fit
from effjax.runtime.checkpoints import is_finished
from effjax.runtime.hosts import barrier, is_primary
from effjax.runtime.job import resized, spec
from effjax.specs import Spec
from effjax.steps import TrainState, member_of
from effjax.tasks import AnswerFormat
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

LabelsOf = Callable[[int], Mapping[int, Any]]


@dataclasses.dataclass
class Trainer:
    """What trains the networks of a round.

    Attributes:
      name: of the run in the config, for messages.
      folder: the loop's, or that of all that train together.
      assembled: what trains; with several loops, it has a member for each.
      pool: where labelled examples are read.
      capacity: the most labelled examples there will ever be: the arrays on the device have room for so many from the
        start, so that one program serves all rounds.
      warm: whether a round starts from the parameters of the round before.
      identity: what makes the loops what they are.
      seeds: of the loops.
      labels_of: of each loop, from a round to the answers that it trains on, by global id.
      answers: what is learnt from an answer.
      beside: of each loop, what a round learns beside its labels, as answers by id; None: nothing.
      specs: of that, with room for all entries.
    """

    name: str
    folder: LoopFolder
    assembled: AssembledRun
    pool: Source
    capacity: int
    warm: bool
    identity: Mapping[str, Any]
    seeds: Sequence[int]
    labels_of: Sequence[LabelsOf]
    answers: AnswerFormat
    specs: Mapping[str, Spec]
    beside: Sequence[LabelsOf] | None = None
    _last: tuple[int, PyTree] | None = None
    _forgotten: dict[int, set[int]] = dataclasses.field(default_factory=dict)

    def train(self, round_: int, loop: int = 0) -> PyTree:
        """A loop's network after a round, on the host; all loops' are trained where that has not been done.

        Raises:
          UserError: if a loop has no label.
        """
        if self._last is None or self._last[0] != round_:
            self._last = round_, self._fit(round_)
        return self._own(self._last[1], loop)

    def variables(self, round_: int, loop: int = 0) -> PyTree:
        """The same, read where it has been kept; trained again where it has not, which gives the same bits."""
        return self._own(self._all(round_), loop)

    def records(self, round_: int, loop: int = 0) -> Mapping[str, np.ndarray]:
        """What the training of a loop's network has recorded of each example."""
        return self._own(self._run(round_).records(), loop)

    def networks_of(self, variables: PyTree) -> list[PyTree]:
        """The variables of each network of a loop, from those of all that :meth:`train` returned."""
        members = self.assembled.job.members
        if not members or self._of_loops:
            return [variables]
        return [member_of(variables, member) for member in range(members.count)]

    def forget(self, round_: int, loop: int = 0) -> None:
        """Throws the checkpoints of a round away, once every loop has said so."""
        self._forgotten.setdefault(round_, set()).add(loop)
        if len(self._forgotten[round_]) == len(self.seeds) and is_primary():
            shutil.rmtree(self.folder.checkpoints(round_), ignore_errors=True)

    def _all(self, round_: int) -> PyTree:
        """The variables of all loops' networks after a round that has been trained."""
        if self._last is not None and self._last[0] == round_:
            return self._last[1]
        # One that was never trained, is forgotten, or half again is trained.
        finished = is_finished(self.folder.checkpoints(round_), self.assembled.job.total_steps)
        return self._run(round_).variables() if finished else self._fit(round_)

    def _run(self, round_: int) -> TrainedRun:
        return TrainedRun.open(self.folder.round(round_), several=True)

    def _own(self, tree: PyTree, loop: int) -> PyTree:
        return member_of(tree, loop) if self._of_loops else tree

    @property
    def _of_loops(self) -> bool:
        """Whether each network of the program is a loop's; otherwise all are of the one loop."""
        members = self.assembled.job.members
        return members is not None and members.kind == "seeds"

    def _fit(self, round_: int) -> PyTree:
        labels = [labels_of(round_) for labels_of in self.labels_of]
        for seed, own in zip(self.seeds, labels, strict=True):
            if not own:
                raise UserError(
                    f"{self.name} seed {seed}: nothing was labelled in round {round_}: there is nothing to learn"
                )
        number = len(labels[0])
        if self.beside is not None:
            labels = [{**own, **more(round_)} for own, more in zip(labels, self.beside, strict=True)]
        seeds = self._network_seeds()
        state = self.assembled.initial_state(seeds)
        if round_ and self.warm and all(labels_of(round_ - 1) for labels_of in self.labels_of):
            state = _warm(state, self._all(round_ - 1), self.assembled.job)
        digest = hashlib.sha256(json.dumps([sorted(own.items()) for own in labels]).encode()).hexdigest()
        self._forget_other_labels(round_, digest)
        who = f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]}-{self.seeds[-1]}"
        fitted = fit(
            dataclasses.replace(self.assembled.job, feed=self._feed(labels)),
            state,
            workdir=self.folder.round(round_),
            identity={**self.identity, "round": round_, "labels": digest},
            keep=1,
            label=f"{self.name} {who} round {round_} ({number:,} labels)",
            comparable=as_of_today,
        )
        return fitted.state.eval_variables

    def _forget_other_labels(self, round_: int, digest: str) -> None:
        """Throws away what an interrupted training has left if it had other labels: files may be gone since."""
        folder = self.folder.checkpoints(round_)
        gone = folder.with_name("other_labels")
        if is_primary():
            shutil.rmtree(gone, ignore_errors=True)  # of a process that was killed while it did this
        try:
            found = self._run(round_).identity
        except Exception:  # there is none, or whoever reads it says what is wrong with it
            return
        ours, theirs = as_of_today({**self.identity, "round": round_, "labels": digest}), as_of_today(found)
        if [key for key in ours if ours[key] != theirs.get(key)] != ["labels"]:
            return
        _log.info("%s: the labels of round %d are not those it was begun with: trained anew", self.name, round_)
        barrier(f"{folder} read")
        if is_primary():
            shutil.rmtree(folder.replace(gone))
        barrier(f"{folder} removed")

    def _learnt(self, id_: int, answer: Any) -> Mapping[str, Any]:
        """What networks learn from an answer: of a photo, what they are shown of it."""
        if is_photo(self.pool):
            height, width = size_of(self.pool, id_)
            answer = self.answers.moved(answer, functools.partial(boxes_in_square, height=height, width=width))
        return self.answers.read(answer)

    def _network_seeds(self) -> int | list[int]:
        """A seed for each network: of one loop's ensemble, or of each loop."""
        members = self.assembled.job.members
        if self._of_loops:
            return list(self.seeds)
        return members.seeds(self.seeds[0]) if members else self.seeds[0]

    def _feed(self, labels: Sequence[Mapping[int, Any]]) -> ChosenFeed:
        """All labelled examples, in arrays with room for what will come; each network draws from its loop's."""
        union = {id_: self._learnt(id_, answer) for own in labels for id_, answer in own.items()}
        known = labelled(self.pool, union, self.specs)
        arrays = as_arrays(known)
        room = self.capacity - len(known)
        arrays = {name: np.pad(array, [(0, room), *[(0, 0)] * (array.ndim - 1)]) for name, array in arrays.items()}
        row_of = {id_: row for row, id_ in enumerate(union)}
        chosen = [np.array([row_of[id_] for id_ in own]) for own in labels]
        old = cast(ResidentFeed, self.assembled.job.feed)
        if old.members and not self._of_loops:
            chosen = chosen * old.members.count
        return ChosenFeed(
            {"train": known},
            old.batch_size,
            features=old.features,
            members=old.members,
            arrays=arrays,
            chosen=tuple(chosen),
        )


def _warm(state: TrainState, variables: PyTree, job: Job) -> TrainState:
    """A fresh start but for the parameters: what the round before has learnt, at its last image size."""
    rest = {name: value for name, value in variables.items() if name != "params"}
    warm = state.replace(params={**state.params, "student": variables["params"]}, model_state=rest)
    warm = resized(warm, spec(state), job.members) if job.shapes_at else warm
    return jax.tree.map(np.asarray, job.begin(warm))
