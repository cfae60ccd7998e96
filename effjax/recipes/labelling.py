"""One labelling loop: train on what is labelled, score the pool, choose, ask, again. The ledger is its only state."""

import dataclasses
import datetime
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax import metrics, selection, uncertainty
from effjax.data.base import Source, View, global_ids
from effjax.data.feeds import ResidentFeed
from effjax.data.labelled import Labelled
from effjax.data.ledger import Ledger
from effjax.data.pipeline import eval_batches
from effjax.errors import UserError, nearest
from effjax.recipes.assemble import Assembled
from effjax.recipes.datasets import Datasets
from effjax.recipes.oracles import Oracle, Query
from effjax.recipes.runs import write_json
from effjax.recipes.selectors import RANDOM, SELECTORS, Candidates
from effjax.runtime import Backend, Interrupted, fit
from effjax.runtime import checkpoints as stored
from effjax.steps import make_predictions

_log = logging.getLogger("effjax")

LEDGER_FILE = "ledger.jsonl"
SCORES: dict[str, Callable[[jax.Array], jax.Array]] = {name: getattr(uncertainty, name) for name in uncertainty.__all__}


class Waiting(Interrupted):
    """People have been asked and have not answered yet. The message says what to do."""


@dataclasses.dataclass(frozen=True)
class Loop:
    """A labelling loop.

    Attributes:
      name: of the run in the config, for messages.
      seed: of every draw of the loop.
      folder: its folder: the ledger, and a folder a round.
      assembled: what trains in a round; its training set is the whole pool.
      datasets: the pool, validation and test sets.
      backend: the devices.
      query: how examples are chosen, see :func:`effjax.recipes.config.query`.
      active: how many, how often, see :func:`effjax.recipes.config.active`.
      oracle: who answers.
      identity: what makes the loop what it is.
    """

    name: str
    seed: int
    folder: Path
    assembled: Assembled
    datasets: Datasets
    backend: Backend
    query: Mapping[str, Any]
    active: Mapping[str, Any]
    oracle: Oracle
    identity: Mapping[str, Any]

    def run(self) -> list[dict[str, Any]]:
        """Runs the rounds that are left; returns what each round measured.

        Raises:
          Waiting: where people have to answer first.
          UserError: if their answers cannot be used.
        """
        ledger = Ledger(self.folder / LEDGER_FILE, self.identity)
        measured: list[dict[str, Any]] = []
        while True:
            self._collect(ledger)
            if ledger.round >= 0:
                measured = [self._train(ledger, round_) for round_ in range(ledger.round + 1)]
            if self._is_over(ledger, measured):
                return measured
            self._ask(ledger)

    def _collect(self, ledger: Ledger) -> None:
        """Takes the answers to what is open over into the ledger."""
        if not (ids := ledger.open()):
            return
        pool = self._by_id(ids)
        scores = {entry.id: entry.score for entry in ledger.entries}
        self.oracle.ask(ledger.round, [Query(i, scores[i], pool[row]["image"]) for row, i in enumerate(ids)])
        answers = self.oracle.answers(ledger.round, ids)
        if answers is None:
            raise Waiting(
                f"{self.name} seed {self.seed}, round {ledger.round}: {self.oracle.how_to_go_on(ledger.round)}"
            )
        ledger.answer(answers, self.oracle.who, _now())

    def _is_over(self, ledger: Ledger, measured: Sequence[Mapping[str, Any]]) -> bool:
        labels, active = len(ledger.labels()), self.active
        free = len(self.datasets.train) - len(ledger.taken())
        if ledger.round + 1 >= active["rounds"] or free == 0:
            return True
        if active["budget"] and labels * active["cost_per_label"] >= active["budget"]:
            return True
        accuracies = [round_["validation_accuracy"] for round_ in measured]
        if active["target"] and accuracies and accuracies[-1] >= active["target"]:
            return True
        patience = active["patience"]
        return bool(
            patience and len(accuracies) > patience and max(accuracies[:-patience]) >= max(accuracies[-patience:])
        )

    def _ask(self, ledger: Ledger) -> None:
        """Chooses the examples of the next round, and notes them before anybody is asked."""
        round_ = ledger.round + 1
        free = np.setdiff1d(global_ids(self.datasets.train), list(ledger.taken()))
        count = min(self.active["per_round"] if round_ else self.active["initial"], len(free))
        if self.active["budget"]:
            left = int(self.active["budget"] / self.active["cost_per_label"]) - len(ledger.labels())
            count = min(count, max(left, 1))
        key = jax.random.fold_in(jax.random.key(self.seed), round_)
        if round_ == 0 or self.query["selector"] == RANDOM:
            rows, scores = np.asarray(selection.random_batch(key, len(free), count)), None
        else:
            rows, scores = self._select(key, ledger, free, count)
        ledger.ask(round_, [int(i) for i in free[rows]], [None] * count if scores is None else list(scores), _now())

    def _select(self, key: jax.Array, ledger: Ledger, free: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions in ``free`` and their scores."""
        variables = self._variables(ledger.round)
        probs, features = self.predictions(variables, self._by_id(free))
        scores = np.asarray(SCORES[self.query["score"]](probs))

        def labelled() -> np.ndarray:
            return self.predictions(variables, self._by_id(list(ledger.labels())))[1]

        candidates = Candidates(key, probs, features, scores, labelled)
        rows = np.asarray(SELECTORS[self.query["selector"]](candidates, count))
        return rows, scores[rows]

    def predictions(self, variables: Any, source: Source) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``[M, N, C]`` and features ``[N, D]`` of a source, in row order."""
        program = self._program()
        placed, probs, features = self.backend.replicate(variables), [], []
        with eval_batches(source, min(self.active["scoring_batch"], len(source))) as batches:
            for batch in batches:
                found = program(placed, {name: jnp.asarray(batch[name]) for name in ("image", "id")})
                probs.append(np.asarray(found["probs"]))
                features.append(np.asarray(found["features"]))
        return np.concatenate(probs, 1)[:, : len(source)], np.concatenate(features)[: len(source)]

    def _program(self) -> Callable:
        kind = self.query["predictions"]
        view = self.assembled.task.objective.view
        return _predict(self.assembled.model, view, kind, self.query["passes"], self.seed, self.backend.platform)

    def _train(self, ledger: Ledger, round_: int) -> dict[str, Any]:
        """Trains on the labels of a round and those before, and measures; what is done is not done again."""
        folder = self.folder / f"round_{round_:02d}"
        result = folder / "result.json"
        if result.exists():
            return json.loads(result.read_text())
        labels = ledger.labels(before=round_ + 1)
        if not labels:
            raise UserError(
                f"{self.name} seed {self.seed}: nothing was labelled in round {round_}: there is nothing to learn"
            )
        pool = Labelled(self.datasets.train, labels)
        old = self.assembled.task.feed
        feed = ResidentFeed(
            {"train": pool},
            old.batch_size,
            features=old.features,
            members=old.members,
            arrays={**old.resident, "label": pool.labels()},
        )
        task = dataclasses.replace(self.assembled.task, feed=feed)
        members = task.members
        seeds = [self.seed * members + m for m in range(members)] if members else self.seed
        state = self.assembled.initial_state(seeds)
        if round_ and self.active["start"] == "warm":
            state = _warm(state, self._variables(round_ - 1))
        identity = {**self.identity, "round": round_, "labels": sorted(labels.items())}
        fit(
            task, state, workdir=folder, identity=identity, keep=1, label=f"{self.name} seed {self.seed} round {round_}"
        )
        measured = {"round": round_, "labels": len(labels), **self._measure(round_)}
        write_json(result, measured)
        return measured

    def _measure(self, round_: int) -> dict[str, float]:
        """Accuracy, likelihood and calibration, with the temperature fitted on validation and without."""
        variables = self._variables(round_)
        found: dict[str, float] = {}
        logits = {}
        for role, source in (("validation", self.datasets.validation), ("test", self.datasets.test)):
            probs, _ = self.predictions(variables, source)
            logits[role] = np.log(np.maximum(probs.mean(0), 1e-12))
        temperature = float(metrics.fit_temperature(logits["validation"], self.datasets.validation.labels()))
        for role, source in (("validation", self.datasets.validation), ("test", self.datasets.test)):
            labels = source.labels()
            found[f"{role}_accuracy"] = float((logits[role].argmax(-1) == labels).mean())
            for name, t in (("", 1.0), ("_scaled", temperature)):
                probs = jax.nn.softmax(logits[role] / t)
                found[f"{role}_nll{name}"] = float(metrics.negative_log_likelihood(probs, labels).mean())
                found[f"{role}_ece{name}"] = float(metrics.expected_calibration_error(probs, labels))
        return {**found, "temperature": temperature}

    def _variables(self, round_: int) -> Any:
        folder = self.folder / f"round_{round_:02d}" / "checkpoints"
        return stored.read_variables(folder, stored.steps(folder)[-1])

    def _by_id(self, ids: Sequence[int]) -> View:
        return View(self.datasets.train, np.asarray(ids))


_PROGRAMS: dict[Any, Callable] = {}


def _predict(model, view, kind: str, passes: int, seed: int, platform: str) -> Callable:
    """The compiled predictions, made once for all rounds, and for all loops that differ in nothing of it."""
    key = (model, view, kind, passes, seed, platform)
    if key not in _PROGRAMS:
        _PROGRAMS[key] = jax.jit(make_predictions(model, view, kind, passes=passes, seed=seed, platform=platform))
    return _PROGRAMS[key]


def check_query(key: str, query: Mapping[str, Any]) -> None:
    """Refuses a query of unknown parts.

    Raises:
      UserError: naming the key and the nearest that is known.
    """
    for name, allowed in (("score", SCORES), ("selector", (*SELECTORS, RANDOM))):
        if query[name] not in allowed:
            raise UserError(f"{key}.{name}={query[name]!r}; {nearest(query[name], allowed)}")


def _warm(state: Any, variables: Any) -> Any:
    """A fresh start but for the parameters: what the round before has learnt."""
    rest = {name: value for name, value in variables.items() if name != "params"}
    return state.replace(params={**state.params, "student": variables["params"]}, model_state=rest)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
