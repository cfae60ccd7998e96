"""What a labelling loop refuses before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from effjax import uncertainty
from effjax.data.base import DatasetInfo, Source
from effjax.data.ledger import TAG, Entry, Ledger
from effjax.errors import UserError, check_known, nearest
from effjax.recipes.active.acquisition import query_problems
from effjax.recipes.active.kinds import STRONG
from effjax.recipes.active.shown import files_of
from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.datasets import Datasets, read_of
from effjax.recipes.schema.loop_keys import EPIG, TEACHER
from effjax.selection.registry import OF_OBJECTS, RANDOM
from effjax.steps.predictions import check_dropout
from effjax.tasks import AnswerFormat, Task, find_task
from effjax.tasks.answers import prices_of


def loop_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What a labelling loop cannot do: a line for each mistake of a config whose keys and values are right."""
    active = config["active"]
    if config["data"]["pool"] and active["oracle"] == "dataset":
        yield (
            f"config.active.oracle='dataset': nobody knows the labels of config.data.pool={config['data']['pool']!r}; "
            "ask people: folder, or label_studio"
        )
    if active["budget"] and active["budget"] < active["initial"] * active["cost_per_label"]:
        yield (
            f"config.active.budget={active['budget']} does not pay for config.active.initial={active['initial']} labels"
        )
    yield from _price_problems(active["prices"], find_task(config["task"]))
    if not any(run["query"] for run in config["runs"].values()):
        yield "config.runs: none has a query; the recipe active chooses by it, e.g. schema.query()"
    if config["view"]["crop_from"] == "photo":
        yield "config.view.crop_from='photo': labelling loops keep what they train on on the device: use 'image'"
    if config["exports"]:
        yield "config.exports: files are measured by the recipe 'compress'"
    for name, one in config["runs"].items():
        yield from _run_problems(config, name, one)
    if config["seeds_together"]:
        yield from _problems_together(config)


def _price_problems(prices: Mapping[str, Any], task: Task) -> Iterator[str]:
    known = prices_of(task.answers(()))
    for name in prices:
        if not known:
            yield (
                f"config.active.prices.{name}: answers of the task {task.name!r} have no prices: each costs "
                "config.active.cost_per_label"
            )
        elif name not in known:
            yield f"config.active.prices.{name}: answers of the task {task.name!r} have none; {nearest(name, known)}"


def _problems_together(config: Mapping[str, Any]) -> Iterator[str]:
    """What loops that go in step cannot do, each for itself."""
    active = config["active"]
    if active["oracle"] != "dataset":
        yield f"config.seeds_together: loops of people ({active['oracle']!r}) go each at its own pace"
    for key in ("target", "patience"):
        if active[key]:
            yield f"config.active.{key}={active[key]}: loops that train together end together: set it to 0"
    for name, one in config["runs"].items():
        query = one["query"] or {"predictions": "single", "stream": {}}
        if query["predictions"] == "ensemble" or query["stream"]:
            yield f"config.runs.{name}.query: with config.seeds_together there are no ensembles and no streams"


def _run_problems(config: Mapping[str, Any], name: str, run: Mapping[str, Any]) -> Iterator[str]:
    key, query = f"config.runs.{name}", run["query"]
    for part in ("teachers", "pacing", "coreset", "selection", "without_classes", "folds", "init", "rewind"):
        if run[part]:
            yield f"{key}.{part}: labelling loops have none"
    if run["repeats"] > 1:
        yield f"{key}.repeats={run['repeats']}: labelling loops show each example once a step"
    if "data" in run["plans"]:
        yield f"{key}.plans.data: labelling loops draw from what is labelled"
    if config["active"]["start"] == "warm":
        for setting in sorted({"bits", "channels"} & set(run["plans"])):
            yield (
                f"config.active.start='warm': a round cannot begin with what {key}.plans.{setting} has made of the "
                "network in the round before: set it to 'cold'"
            )
    if not query:
        if config["active"]["oracle"] != "dataset":
            yield (
                f"{key}.query is missing: without one a run trains on the labels of the whole pool, which "
                f"config.active.oracle={config['active']['oracle']!r} has not got"
            )
        return
    yield from query_problems(f"{key}.query", query)
    yield from _task_problems(f"{key}.query", query, find_task(config["task"]))
    yield from _kind_problems(f"{key}.query", config, query, find_task(config["task"]))
    if query["annotator"] and config["active"]["oracle"] != "dataset":
        yield f"{key}.query.annotator={query['annotator']!r}: with config.active.oracle it is people who answer"
    if not run["steps"]:
        yield f"{key}.steps=0: give a length in steps: the labels grow from round to round"
    if outliers := query["outliers"]:
        if outliers["source"] == "predicted" and not run["record"]:
            yield f"{key}.record must be True: outliers are predicted from the map that training records"
        if outliers["source"] == "labels" and outliers["run"]:
            reference = config["runs"].get(outliers["run"])
            if reference is None:
                yield f"{key}.query.outliers.run={outliers['run']!r}; {nearest(outliers['run'], config['runs'])}"
            elif reference["query"] or not reference["record"]:
                yield (f"{key}.query.outliers.run={outliers['run']!r} must be a run without a query, with record=True")


def _task_problems(key: str, query: Mapping[str, Any], task: Task) -> Iterator[str]:
    """What a query cannot do for what is learnt."""
    followed = query["predictions"] == "augmentations" and task.following is not None
    if query["score"] in uncertainty.OF_PLACES and query["selector"] != RANDOM and not followed:
        yield (
            f"{key}.score={query['score']!r} looks at where things are found again in augmented images: it goes with "
            f"{key}.predictions='augmentations' and a task whose items have places, such as 'detection'"
        )
    for part, known, has in (
        ("score", uncertainty.BY_CLASS, task.class_quality is not None),
        ("selector", OF_OBJECTS, bool(task.counted)),
    ):
        if query[part] in known and not has:
            yield f"{key}.{part}={query[part]!r}: the task {task.name!r} has one item an example: take another {part}"
    if query["floor"] and task.floor is None:
        yield f"{key}.floor={query['floor']!r}: the task {task.name!r} has one item an example: there is no floor to it"
    if not task.of_classes:
        for part in ("outliers", "discount", "annotator"):
            if query[part]:
                yield f"{key}.{part}={query[part]!r}: the task {task.name!r} is not of classes: leave it out"
        if query["score"] == EPIG:
            yield f"{key}.score={EPIG!r}: the task {task.name!r} is not of classes: take another score"


def check_ledger(ledger: Ledger, pool: Source, formats: Mapping[str, AnswerFormat]) -> None:
    """Refuses a ledger of examples or labels that there are not: one without checksums may be damaged unnoticed.

    Raises:
      UserError: naming the example.
    """
    asked = {id_: file for id_, file in ledger.files().items() if file is not None}
    known = set(pool.ids().tolist()) if asked else set()
    there = [id_ for id_ in asked if id_ in known]
    # Of a folder with labels; the files of a pool have numbers that stay, see recipes.pool_numbers.
    now = {} if hasattr(pool, "gone") else dict(zip(there, files_of(pool, there) or (), strict=False))
    for id_, file in asked.items():
        if not hasattr(pool, "gone") and now.get(id_) != file:
            raise UserError(
                f"{ledger.path}: example {id_} was {file.path} when it was asked for, and this file is no longer "
                f"there, or elsewhere in the order: {pool.info.name} has changed since; put it back as it was, or "
                "begin a new loop with another --workdir (a folder that may change is config.data.pool)"
            )
    known = np.isin(np.array([entry.id for entry in ledger.entries], np.float64), pool.ids())
    for entry, is_known in zip(ledger.entries, known, strict=True):
        problem = None if entry.answer is None else _problem_of(entry, formats)
        if not is_known or problem:
            said = problem if is_known else f"it is not in {pool.info.name}/{pool.info.split}"
            raise UserError(
                f"{ledger.path}: example {entry.id}: {said}: the file is damaged, or the data are not those it was "
                "written for; put back what has changed, or begin a new loop with another --workdir"
            )


def _problem_of(entry: Entry, formats: Mapping[str, AnswerFormat]) -> str | None:
    if entry.kind not in formats:
        return f"a question of the kind {entry.kind!r} is none of {', '.join(formats)}"
    return formats[entry.kind].problem(entry.answer)


def _kind_problems(key: str, config: Mapping[str, Any], query: Mapping[str, Any], task: Task) -> Iterator[str]:
    """What questions of several kinds do not go with."""
    kinds, active = query["kinds"], config["active"]
    if query["predictions"] == TEACHER:
        if task.of_classes:
            yield f"{key}.predictions={TEACHER!r}: the task {task.name!r} is of classes: take an ensemble"
        if config["seeds_together"]:
            yield f"{key}.predictions={TEACHER!r}: loops that train together have no teacher: leave seeds_together out"
    if query["tags"] and TAG not in kinds:
        yield f"{key}.tags={query['tags']}: {key}.kinds has no {TAG!r}"
    if not kinds:
        return
    if task.tags is None:
        yield f"{key}.kinds={tuple(kinds)}: answers of the task {task.name!r} are of one kind"
    if not set(kinds) & set(STRONG):
        yield f"{key}.kinds={tuple(kinds)}: nothing is learnt from tags without boxes: add {' or '.join(STRONG)}"
    if not active["seconds"]:
        yield f"config.active.seconds=0: say how long a round of {key}.kinds={tuple(kinds)} takes"
    if query["selector"] not in ("top_k", RANDOM):
        yield f"{key}.selector={query['selector']!r}: {key}.kinds go by gain per second: take top_k, or {RANDOM}"
    if active["oracle"] != "dataset":
        yield f"{key}.kinds={tuple(kinds)}: config.active.oracle={active['oracle']!r} asks for boxes alone"
    if config["seeds_together"]:
        yield f"{key}.kinds={tuple(kinds)}: loops that train together ask all the same: leave seeds_together out"


def check_names(key: str, query: Mapping[str, Any], info: DatasetInfo) -> None:
    """Refuses a query that names a class or a feature that the data have not.

    Raises:
      UserError: naming the nearest.
    """
    if query["discount"]:
        known = info.class_names
        check_known(query["discount"], known, f"{key}.discount={query['discount']!r}: {info.name} has no such class")
    if query["annotator"]:
        known = [name for name, spec in info.features.items() if spec == info.features.get("label")]
        check_known(query["annotator"], known, f"{key}.annotator={query['annotator']!r}: no feature like a label")


def check_passes_differ(key: str, assembled: AssembledRun, datasets: Datasets) -> None:
    """Refuses passes with dropout of a network that has none.

    Raises:
      UserError: naming the key and the network.
    """
    variables = jax.eval_shape(assembled.init, np.uint32(0)).eval_variables
    try:
        check_dropout(assembled.model, variables, *read_of(datasets.train, datasets.task.inputs))
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
