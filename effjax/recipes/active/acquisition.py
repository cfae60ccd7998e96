"""How a labelling loop chooses what to ask: score what is free, select, as its config says."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import selection, uncertainty
from effjax.curricula import Plan
from effjax.data.base import Source, Subset
from effjax.data.ledger_state import BOX, TAG
from effjax.errors import UserError
from effjax.recipes.active.kinds import Prospect, within
from effjax.recipes.active.measures import FLOOR, QUALITY, TAGS
from effjax.recipes.active.pool import Guide, PoolPredictor, predictions_of
from effjax.recipes.active.rounds import Rounds
from effjax.recipes.active.shown import path_of
from effjax.recipes.active.streaming import Stream
from effjax.recipes.build.writing import write_json
from effjax.recipes.schema.loop_keys import CALIBRATED, EPIG, TEACHER
from effjax.selection.registry import RANDOM, RANKS, SELECTORS, STREAM, Candidates
from effjax.tasks.box_answers import BoxAnswers
from effjax.typing import Array, PyTree

_log = logging.getLogger("effjax")


SCORES: Mapping[str, Callable[..., jax.Array]] = {
    **uncertainty.SCORES,
    **uncertainty.OF_PLACES,
    **uncertainty.BY_CLASS,
}
#: What compares predictions of one image with one another: of a single one it is 0, whatever the image.
OF_SEVERAL = {"score": ("bald", "consistency", "disagreement", "variation_ratio", EPIG), "selector": ("batch_bald",)}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a round asks for.

    Attributes:
      ids: global ids, in the order they were chosen.
      scores: why; None where nothing was scored.
      kinds: of question, one each.
    """

    ids: Sequence[int]
    scores: Sequence[float] | None
    kinds: str | Sequence[str] = TAG


@dataclasses.dataclass(frozen=True)
class Acquisition:
    """Chooses for one loop.

    Attributes:
      query: see :func:`effjax.recipes.schema.query`.
      rounds: the loop's, whose networks score.
      predict: the predictions that are scored.
      pool: where examples are read.
      num_rounds: of the loop, at most.
      full_map: of the whole pool by global id, ``(ids, map)``, for outliers that are found with everybody's labels.
      discounted: the number of the class that scores are discounted by; None: of none.
      has_items: whether an example has several items, each with a score of its own.
    """

    query: Mapping[str, Any]
    rounds: Rounds
    predict: PoolPredictor
    pool: Source
    num_rounds: int
    full_map: Callable[[], tuple[np.ndarray, selection.DatasetMap]] | None = None
    discounted: int | None = None
    has_items: bool = False

    def choose(self, round_: int, free: np.ndarray, labelled: Sequence[int], count: int) -> Choice:
        """Chooses for a round; as long as nothing has a label, at random.

        Args:
          round_: the round that will be asked for.
          free: ``[n]`` global ids that may be asked for, ascending.
          labelled: global ids that have a label.
          count: how many, at most n.

        Returns:
          The choice, which is noted in the round's folder too, with the nearest labelled example of each.
        """
        with predictions_of(f"{self.rounds.name} seed {self.rounds.seed}, the network of round {round_ - 1}"):
            return self._choose(round_, free, labelled, count)

    def begin(self, round_: int, boxes: np.ndarray, drawn: int, tags: np.ndarray, tagged: int) -> Choice:
        """Chooses for a first round whose questions are of several kinds: at random, what is drawn and what is tagged.

        Args:
          round_: the round that will be asked for.
          boxes: ``[n]`` global ids that may be drawn on, ascending.
          drawn: how many are.
          tags: ``[m]`` global ids that may be tagged.
          tagged: how many are; none that is drawn on.
        """
        key = jax.random.fold_in(jax.random.key(self.rounds.seed), round_)
        first = _some(key, boxes, drawn)
        second = _some(jax.random.fold_in(key, 1), np.setdiff1d(tags, first), tagged)
        return Choice([*first, *second], None, [BOX] * len(first) + [TAG] * len(second))

    def choose_kinds(
        self, round_: int, boxes: np.ndarray, tags: np.ndarray, labelled: Sequence[int], seconds: float
    ) -> Choice:
        """Chooses images and the kind of question to each, for a round of so many expected seconds.

        Args:
          round_: the round that will be asked for.
          boxes: ``[n]`` global ids that have no boxes yet, ascending.
          tags: those of them that have no tags either.
          labelled: global ids that have boxes.
          seconds: that the answers may take, as far as the last network can tell.

        Returns:
          The choice: the highest gains per second, or, at random, any images, each asked in the way that gains most.
        """
        with predictions_of(f"{self.rounds.name} seed {self.rounds.seed}, the network of round {round_ - 1}"):
            variables, seed, measured = self._variables(round_ - 1), self._draws(round_), self.rounds.result(round_ - 1)
            guide = Guide(measured[FLOOR])
            found = self.predict.objects(variables, Subset(self.pool, boxes), seed, guide)
            answers = self.rounds.trainer.answers
            assert isinstance(answers, BoxAnswers)  # see `loop_problems`
            prospect = Prospect(self.query["kinds"], answers, **measured.get(TAGS, {}))
            kinds, rates, costs = prospect.best(found.present.sum(-1), ~np.isin(boxes, tags))
            key = jax.random.fold_in(jax.random.key(self.rounds.seed), round_)
            if self.query["selector"] == RANDOM:
                order = np.asarray(selection.random_batch(key, len(boxes), len(boxes)))
                rows, scores = within(order, costs, seconds), None
            else:
                gains = rates * self._scores(round_, boxes, _score(self._score_in(round_), None), seed)
                rows = within(np.asarray(selection.top_k(gains, len(boxes), key=key)), costs, seconds)
                scores = gains[rows].tolist()
            choice = Choice(boxes[rows].tolist(), scores, [kinds[row] for row in rows])
            return self._note(round_, choice, labelled)

    def _variables(self, round_: int) -> PyTree:
        """What predicts after a round: its network, or with its teacher's, that of the round before, first of all."""
        variables = self.rounds.variables(round_)
        if self.query["predictions"] != TEACHER:
            return variables
        teacher = self.rounds.variables(round_ - 1) if self._has_teacher(round_) else variables
        return jax.tree.map(lambda *pair: np.stack(pair), variables, teacher)

    def _has_teacher(self, round_: int) -> bool:
        return round_ > 0 and bool(self.rounds.labels_of(round_ - 1))

    def _score_in(self, round_: int) -> str:
        """The score by which a round is asked for; a student without a teacher can only be unsure by itself."""
        alone = self.query["predictions"] == TEACHER and not self._has_teacher(round_ - 1)
        return "entropy" if alone and self.query["score"] in OF_SEVERAL["score"] else self.query["score"]

    def _choose(self, round_: int, free: np.ndarray, labelled: Sequence[int], count: int) -> Choice:
        seed, selector = self.rounds.seed, self.query["selector"]
        key = jax.random.fold_in(jax.random.key(seed), round_)
        if selector == STREAM:
            return self._note(round_, self._from_stream(round_, labelled, count), labelled)
        if not len(labelled):
            return Choice(free[np.asarray(selection.random_batch(key, len(free), count))].tolist(), None)
        free = self._without_outliers(round_, free, labelled, count)
        if selector == RANDOM:
            choice = Choice(free[np.asarray(selection.random_batch(key, len(free), count))].tolist(), None)
        else:
            choice = self._scored(key, round_, free, labelled, count)
        return self._note(round_, choice, labelled)

    def _scored(self, key: jax.Array, round_: int, free: np.ndarray, labelled, count: int) -> Choice:
        variables, seed, most = self._variables(round_ - 1), self._draws(round_), self.query["candidates"]
        if self.query["score"] == EPIG:
            return self._informative(key, variables, free, count, seed)
        score, guide = _score(self._score_in(round_), self.discounted), self._guide(round_)
        if self.query["selector"] in RANKS:
            rank = RANKS[self.query["selector"]]
            ids, _ = self.predict.top(variables, Subset(self.pool, free), count, score, rank, seed, guide)
            return Choice(ids.tolist(), self._scores(round_, ids, score, seed).tolist())
        if 0 < most < len(free):  # what a selector that looks at all of them may hold in memory
            narrowed = self.predict.top(variables, Subset(self.pool, free), max(most, count), score, None, seed, guide)
            free = np.sort(narrowed[0])
        probs, features = self.predict(variables, Subset(self.pool, free), seed)
        scores = self._scores(round_, free, score, seed, probs)
        candidates = Candidates(
            *(key, probs, features, scores),
            lambda: self._features(variables, labelled, seed),
            lambda: self.predict.objects(variables, Subset(self.pool, free), seed, guide),
        )
        rows = np.asarray(SELECTORS[self.query["selector"]](candidates, count))
        return Choice(free[rows].tolist(), scores[rows].tolist())

    def _informative(self, key: jax.Array, variables: PyTree, free: np.ndarray, count: int, seed: int) -> Choice:
        """Those whose answers would say most of others, drawn from the very pool that is asked from."""
        probs, _ = self.predict(variables, Subset(self.pool, free), seed)
        of_targets, of_ties = jax.random.split(key)
        targets = selection.random_batch(of_targets, len(free), min(self.query["targets"], len(free)))
        scores = uncertainty.epig(probs, probs[:, np.asarray(targets)])
        if self.discounted is not None:
            scores = uncertainty.discounted(scores, probs, self.discounted)
        rows = np.asarray(selection.top_k(scores, count, key=of_ties))
        return Choice(free[rows].tolist(), np.asarray(scores)[rows].tolist())

    def _draws(self, round_: int) -> int:
        """The seed of what a round's passes draw."""
        return (self.rounds.seed * 2**16 + round_) % 2**32

    def _guide(self, round_: int) -> Guide:
        """How items count in a round."""
        floor, measured = self.query["floor"], self.rounds.result(round_ - 1)
        floor = measured[FLOOR] if floor == CALIBRATED else floor
        if self.query["score"] not in uncertainty.BY_CLASS:
            return Guide(floor)
        return Guide(floor, np.asarray(uncertainty.class_difficulty(np.asarray(measured[QUALITY]))))

    def _scores(self, round_: int, ids: np.ndarray, score: Callable, seed: int, probs=None) -> np.ndarray:
        """The scores ``[n]`` of examples, whose probabilities may be known; of several items, they are not enough."""
        variables, source = self._variables(round_ - 1), Subset(self.pool, ids)
        if self.has_items:
            return self.predict.scores(variables, source, score, seed, self._guide(round_))
        return np.asarray(score(self.predict(variables, source, seed)[0] if probs is None else probs))

    def _features(self, variables: PyTree, ids: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
        return self.predict(variables, Subset(self.pool, np.asarray(ids)), seed)[1]

    def _from_stream(self, round_: int, labelled: Sequence[int], count: int) -> Choice:
        """The examples pass by in a fixed order; the policy goes on from where the round before left it."""
        score, seed = _score(self._score_in(round_), self.discounted), self._draws(round_)

        def scores_of(ids: np.ndarray) -> np.ndarray:
            return self._scores(round_, ids, score, seed)

        stream = Stream(self.query["stream"], self.rounds.seed, _in_parts(self.pool), getattr(self.pool, "gone", ()))
        return Choice(*stream.next_round(round_, self.rounds.folder, scores_of if len(labelled) else None, count))

    def _without_outliers(self, round_: int, free: np.ndarray, labelled: Sequence[int], count: int) -> np.ndarray:
        """What is left of the free examples without those that look unlearnable."""
        outliers = self.query["outliers"]
        if not outliers:
            return free
        key = jax.random.key(self._draws(round_))
        share = Plan("outliers.share", outliers["share"])(round_ / self.num_rounds)
        if not share:
            return free
        if self.full_map is not None:
            ids, mapped = self.full_map()
            ranked = ids[np.asarray(selection.rank_outliers(mapped, outliers["by"], key=key))]
            removed = np.intersect1d(ranked[: int(share * len(ids))], free)
        else:
            mapped = self._guessed_map(round_, free, labelled)
            ranked = free[np.asarray(selection.rank_outliers(mapped, outliers["by"], key=key))]
            removed = ranked[: int(share * len(free))]
        left = np.setdiff1d(free, removed)
        if len(left) < count:
            raise UserError(
                f"config.runs.{self.rounds.name}.query.outliers.share={share}: {len(left)} examples are left, "
                f"{count} are to be asked for: remove fewer, or end the loop earlier"
            )
        facts = {"by": outliers["by"], "share": share, "source": outliers["source"], "ids": removed.tolist()}
        self._write(self.rounds.folder.removed_file(round_), facts)
        return left

    def _guessed_map(self, round_: int, free: np.ndarray, labelled: Sequence[int]) -> selection.DatasetMap:
        """The map of the free examples, guessed from that of the labelled ones."""
        ids, mapped = self.rounds.recorded_map(round_ - 1)
        variables, seed = self._variables(round_ - 1), self.rounds.seed
        pool = self._features(variables, free, seed)
        return selection.extend_map(mapped, self._features(variables, ids, seed), pool)

    def _note(self, round_: int, choice: Choice, labelled: Sequence[int]) -> Choice:
        """Writes down what was chosen, and what of the labelled examples each is most like, for people to look at."""
        if not len(labelled) or not len(choice.ids):
            return choice
        variables = self._variables(round_ - 1)
        known, asked = (self._features(variables, ids, self.rounds.seed) for ids in (labelled, choice.ids))
        rows = _nearest(known, asked)
        noted = [
            {
                "id": int(id_),
                **({"path": path} if (path := path_of(self.pool, id_)) else {}),
                "score": None if choice.scores is None else float(choice.scores[number]),
                "nearest": int(labelled[row]),
                "distance": float(np.linalg.norm(known[row] - asked[number])),
            }
            for number, (id_, row) in enumerate(zip(choice.ids, rows, strict=True))
        ]
        self._write(self.rounds.folder.queries_file(round_), noted)
        return choice

    def _write(self, path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value)


@functools.cache  # one function for all loops: programs are kept by it
def _score(name: str, discounted: int | None) -> Callable[[Array], jax.Array]:
    score = SCORES[name]
    if discounted is None:
        return score
    return lambda probs: uncertainty.discounted(score(probs), probs, discounted)


def _nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """For each row of ``asked`` ``[k, D]`` the nearest of ``known`` ``[n, D]``, the first of equal ones."""
    known, asked = known.astype(np.float64), asked.astype(np.float64)
    squares, found = (known**2).sum(-1), []
    for part in np.array_split(asked, -(-len(asked) // 256)):
        found.append(np.argmin(squares - 2 * part @ known.T, axis=1))
    return np.concatenate(found)


def _some(key: jax.Array, ids: np.ndarray, count: int) -> list[int]:
    """So many of some ids at random, or all."""
    count = min(count, len(ids))
    return ids[np.asarray(selection.random_batch(key, len(ids), count))].tolist() if count else []


def _in_parts(pool: Source) -> list[np.ndarray]:
    """The global ids of a pool; of a folder that has grown, those of each start."""
    ids, parts = pool.ids(), getattr(pool, "parts", ())
    return np.split(ids, np.cumsum(parts)[:-1]) if parts else [ids]


def query_problems(key: str, query: Mapping[str, Any]) -> Iterator[str]:
    """What parts of a query do not go together: a line for each mistake."""
    if query["predictions"] == "single" and query["selector"] != RANDOM:
        for part in ("score", "selector"):
            if query[part] in OF_SEVERAL[part]:
                yield needs_several(f"{key}.{part}", query[part], part)
    if (query["selector"] == STREAM) != bool(query["stream"]):
        yield (
            f"{key}.selector={query['selector']!r}, {key}.stream={query['stream']}: the selector 'stream' "
            "and schema.stream(…) go together"
        )
    elif query["stream"]:
        try:
            Stream(query["stream"], 0, [np.arange(1)])  # says what its options lack
        except UserError as error:
            yield f"{key}: {error}"
    if query["score"] == EPIG and query["selector"] not in ("top_k", RANDOM):
        yield f"{key}.score='epig': {key}.selector={query['selector']!r} does not go with it: take top_k"
    if query["discount"] and query["selector"] not in (*RANKS, STREAM):
        yield f"{key}.discount={query['discount']!r}: {key}.selector={query['selector']!r} does not ask by a score"
    if outliers := query["outliers"]:
        try:
            Plan("share", outliers["share"])
        except ValueError as error:
            yield f"{key}.outliers.share: {error}"
        if (outliers["source"] == "labels") != bool(outliers["run"]):
            yield (
                f"{key}.outliers.source={outliers['source']!r}, {key}.outliers.run={outliers['run']!r}: a map of all "
                "labels comes from a run without a query that records them; one that is predicted needs no run"
            )


def needs_several(key: str, given: str, part: str) -> str:
    """Says that a score or a selector compares predictions with one another where there is but one.

    Args:
      key: or flag, for the message.
      given: its value.
      part: ``"score"`` or ``"selector"``.
    """
    others = {"score": "entropy, margin or least_confidence", "selector": "badge or power_batch"}[part]
    return (
        f"{key}={given!r} compares several predictions of an image, predictions='single' gives one: all images would "
        f"be alike; take predictions of an ensemble, dropout or augmentations, or another {part}: {others}"
    )
