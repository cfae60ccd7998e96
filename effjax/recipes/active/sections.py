"""The parts of the active-learning page that are made of the loops' folders, for the first seed of each run."""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from effjax import metrics
from effjax.data.base import Source
from effjax.data.ledger import ANSWERS, ASKED, CORRECTED, LABELLED, SKIPPED, Ledger
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.shown import is_photo, photo_of
from effjax.reports.active import PHOTO_SIDE, AskedExample, AskedRound, CaptionedImage, Extremes, how_many
from effjax.reports.drawn_boxes import TRUE, Marks, drawn_boxes
from effjax.tasks import AnswerFormat

LedgerOf = Callable[[LoopFolder], Ledger | None]

_EXTREMES = 12  # examples shown of either end of a dataset map
_WAITING = "waiting"


def images_by_id(source: Source) -> Callable[[int], np.ndarray]:
    """Reads images by global id, each once; of a folder, the whole photos."""
    if is_photo(source):
        return functools.cache(lambda id_: photo_of(source, id_, most=2 * PHOTO_SIDE, least=PHOTO_SIDE))
    rows = {int(id_): row for row, id_ in enumerate(source.ids())}
    return functools.cache(lambda id_: np.asarray(source[rows[id_]]["image"]))


def asked(
    folders: Mapping[str, LoopFolder],
    ledger_of: LedgerOf,
    image_of: Callable[[int], np.ndarray],
    name_of: Callable[[int], str],
    formats: Mapping[str, Mapping[str, AnswerFormat]],
) -> dict[str, list[AskedRound]]:
    """What loops asked for, round by round; as much of it as a page can hold.

    Args:
      folders: by run, a loop's.
      ledger_of: reads a folder's ledger.
      image_of: see :func:`images_by_id`.
      name_of: from global id to what is said of an image besides its label; may be empty.
      formats: by run and kind of question, what an answer says, and where.
    """
    ledgers = {name: ledger for name, folder in folders.items() if (ledger := ledger_of(folder)) and ledger.entries}
    if not ledgers:
        return {}
    image = image_of(next(iter(ledgers.values())).entries[0].id)
    examples, rounds = how_many(image, [ledger.round + 1 for ledger in ledgers.values()])
    return {
        name: [
            _asked_round(
                *(ledger, int(round_), folders[name].queries(int(round_)), image_of, name_of, formats[name], examples)
            )
            for round_ in np.unique(np.linspace(0, ledger.round, min(rounds, ledger.round + 1)).round())
        ]
        for name, ledger in ledgers.items()
    }


def class_counts(ledgers: Sequence[Ledger], num_classes: int) -> np.ndarray:
    """How many labels of each class came in each round, ``[R, K]``: the mean over the loops that have the round."""
    rounds = max(ledger.round for ledger in ledgers) + 1
    counts, loops = np.zeros((rounds, num_classes)), np.zeros(rounds)
    for ledger in ledgers:
        loops[: ledger.round + 1] += 1
        asked = ledger.last_asked()
        for question, label in ledger.learnt().items():
            counts[asked[question], label] += 1
    return counts / loops[:, None]


def dataset_maps(folders: Mapping[str, LoopFolder]) -> dict[str, dict[str, Any]]:
    """The last dataset map of each run that has any, with ``removed`` ``[N]``, ``removed_ids``, ``note``."""
    maps = {}
    for name, folder in folders.items():
        if not (last := folder.last_map()):
            continue
        round_, found = last
        note, removed = f"round {round_}, {len(found['id'])} labelled examples", folder.removed()
        if removed:
            note += f"; {len(removed['ids'])} removed, {100 * removed['share']:g} % by {removed['by']}, "
            note += f"source: {removed['source']}"
        gone = removed["ids"] if removed else []
        maps[name] = {**found, "removed": np.isin(found["id"], gone), "removed_ids": gone, "note": note}
    return maps


def extremes(
    mapped: Mapping[str, Any],
    image_of: Callable[[int], np.ndarray],
    name_of: Callable[[int], str],
    class_names: Sequence[str],
) -> Extremes:
    """The examples that a map of :func:`dataset_maps` has at its ends: least confident, most variable, removed."""

    def named(id_: int, said: str) -> str:
        return f"{said} · {name}" if (name := name_of(id_)) else said

    def shown(rows: np.ndarray, key: str) -> list[CaptionedImage]:
        return [
            CaptionedImage(
                image_of(int(mapped["id"][row])),
                named(
                    int(mapped["id"][row]),
                    f"{class_names[int(mapped['label'][row])]}, {mapped[key][row]:.2f}"
                    + (", removed" if mapped["removed"][row] else ""),
                ),
            )
            for row in rows[:_EXTREMES]
        ]

    removed = [
        CaptionedImage(image_of(int(id_)), named(int(id_), f"id {id_}")) for id_ in mapped["removed_ids"][:_EXTREMES]
    ]

    hardest = np.argsort(mapped["confidence"], kind="stable")
    ambiguous = np.argsort(-mapped["variability"], kind="stable")
    return Extremes(mapped["note"], shown(hardest, "confidence"), shown(ambiguous, "variability"), removed)


def reliability(
    folders: Mapping[str, LoopFolder], rounds: Mapping[str, Mapping[str, Any]], labels: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """The calibration bins on the test split, before and after temperature scaling, of each run that left its answers.

    Args:
      folders: by run, a loop's.
      rounds: by run, what its last round measured.
      labels: of the test split, ``[N]``.
    """
    bins = {}
    for name, folder in folders.items():
        probs = folder.test_probs(rounds[name]["round"])
        if probs is None:
            continue
        temperature = rounds[name]["temperature"]
        logits = np.log(np.maximum(probs, 1e-12)) / temperature
        scaled = np.exp(logits - logits.max(-1, keepdims=True))
        scaled /= scaled.sum(-1, keepdims=True)
        for title, shown in (("as trained", probs), (f"temperature {temperature:.2f}", scaled)):
            sums = metrics.CalibrationBins.empty().update(shown, labels)
            bins[f"{name}\n{title}"] = {key: np.asarray(value) for key, value in sums._asdict().items()}
    return bins


def _asked_round(
    ledger: Ledger, round_: int, queries, image_of, name_of, formats: Mapping[str, AnswerFormat], most: int
) -> AskedRound:
    entries = [entry for entry in ledger.entries if entry.event == ASKED and entry.round == round_]
    scores, last, holds = {entry.id: entry.score for entry in entries}, ledger.last_asked(), ledger.answers()
    # What was skipped may have been asked again since: its answer is shown there.
    answers = {e.id: holds.get(e.question) if last[e.question] == round_ else (SKIPPED, None) for e in entries}
    corrected = {entry.id for entry in ledger.entries if entry.event == CORRECTED}
    format_of = {entry.id: formats[entry.kind] for entry in entries}
    learnt = [kind for kind in formats if formats[kind].specs]
    known, whole = ledger.labels(before=round_, kinds=learnt), formats[learnt[0]]

    def said(id_: int) -> str:
        if (answered := answers[id_]) is None:
            said = _WAITING
        else:
            event, answer = answered
            said = format_of[id_].show(answer) if event == LABELLED else event
            said += " (corrected)" if id_ in corrected else ""
        return f"{said} · {name}" if (name := name_of(id_)) else said

    def marked(id_: int, answer: Any, caption: str, format_: AnswerFormat = whole) -> CaptionedImage:
        """The image with what an answer points at."""
        places = () if answer is None else format_.boxes(answer)
        if not len(places):
            return CaptionedImage(image_of(id_), caption)
        return CaptionedImage(drawn_boxes(image_of(id_), [Marks(places, TRUE)]), caption, marked=True)

    def one(id_: int) -> AskedExample:
        query = queries.get(id_, {})
        near = query.get("nearest")
        neighbour = None
        if near in known:
            neighbour = marked(near, known[near], whole.show(known[near]))
        answer = answered[1] if (answered := answers[id_]) else None
        format_ = format_of[id_]
        differs = neighbour is not None and answer is not None and format_.show(answer) != neighbour.caption
        shown = marked(id_, answer, said(id_), format_)
        return AskedExample(shown, scores[id_], neighbour, query.get("distance"), differs)

    events = Counter(answer[0] if answer else _WAITING for answer in answers.values())
    counted = (f"{events[event]} {event}" for event in (*ANSWERS, _WAITING) if events[event])
    outcome = ", ".join([f"{len(scores)} asked", *counted])
    return AskedRound(round_, outcome, [one(id_) for id_ in list(scores)[:most]])
