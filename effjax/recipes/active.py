"""The active-learning experiment: labelling loops that differ in how they choose, over seeds; learning curves."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, nearest
from effjax.recipes import config as schema
from effjax.recipes.assemble import Assembled, assemble
from effjax.recipes.datasets import Datasets, open_datasets
from effjax.recipes.labelling import Loop, check_query
from effjax.recipes.oracles import DatasetOracle, FolderOracle, LabelStudioOracle, Oracle
from effjax.recipes.runs import beyond_defaults, check_workdir, plain, write_json
from effjax.runtime import make_backend
from effjax.steps.predictions import check_dropout

SUMMARY_FILE = "summary.json"
_ORACLES = ("dataset", "folder", "label_studio")


def main(
    config: Mapping[str, Any], workdir: str | Path, results: str | Path | None = None, only: Collection[str] = ()
) -> dict[str, Any]:
    """Runs every loop of every seed; one that waits for people says so at the end, and the others go on.

    Args:
      config: as :func:`effjax.recipes.config.experiment` lays it out, plain; each run has a query.
      workdir: everything is written here; a second call continues.
      results: a Markdown file for the table.
      only: the loops to run, without a report: several processes may share an experiment's folder so. Empty: all.

    Returns:
      By run, for each seed what every round measured. Empty if ``only`` is given.

    Raises:
      UserError: if anything in the config cannot be used.
      Waiting: if people have to answer first.
    """
    workdir = Path(workdir)
    schema.check(config)
    check_workdir(workdir)
    check(config)
    backend, datasets = make_backend(config["backend"]), open_datasets(config)
    if not datasets.on_device:
        raise UserError("config.data.on_device_mib: a labelling loop trains from a set on the device; raise it")
    loops, made = [], {}
    for name in schema.needed_by(config["runs"], only) if only else config["runs"]:
        run = config["runs"][name]
        members = run["query"]["members"] if run["query"]["predictions"] == "ensemble" else 0
        key = repr(({k: v for k, v in run.items() if k not in ("label", "query")}, members))
        if key not in made:  # loops that train alike share their programs
            made[key] = assemble(name, run, datasets, backend, config["eval_batch_size"], {}, members=members)
        if run["query"]["predictions"] == "dropout":
            check_passes_differ(f"config.runs.{name}.query", made[key], datasets)
        for seed in range(config["seed"], config["seed"] + config["num_seeds"]):
            loops.append(_loop(config, workdir, name, seed, made[key], datasets, backend))
    summary: dict[str, Any] = {}
    for loop in loops:
        summary.setdefault(loop.name, {"seeds": []})["seeds"].append({"seed": loop.seed, "rounds": loop.run()})
    if only:
        return {}
    write_json(workdir / SUMMARY_FILE, summary)
    return summary


def check(config: Mapping[str, Any]) -> None:
    """Refuses what a labelling loop cannot do.

    Raises:
      UserError: naming the key.
    """
    active = config["active"]
    for key, allowed in (("oracle", _ORACLES), ("start", ("cold", "warm"))):
        if active[key] not in allowed:
            raise UserError(f"config.active.{key}={active[key]!r}; {nearest(active[key], allowed)}")
    for key in ("initial", "per_round", "rounds", "scoring_batch"):
        if isinstance(active[key], bool) or not isinstance(active[key], int) or active[key] < 1:
            raise UserError(f"config.active.{key}={active[key]!r} must be a whole number, 1 or more")
    if active["cost_per_label"] <= 0 or active["budget"] < 0:
        raise UserError("config.active.cost_per_label must be above 0, and config.active.budget not below")
    for name, run in config["runs"].items():
        key = f"config.runs.{name}"
        if not run["query"]:
            raise UserError(f"{key}.query is missing: the recipe active chooses by it, e.g. schema.query()")
        check_query(f"{key}.query", run["query"])
        if not run["steps"]:
            raise UserError(f"{key}.steps=0: give a length in steps: the labels grow from round to round")
        for part in ("teachers", "pacing", "without_classes", "folds", "init"):
            if run[part]:
                raise UserError(f"{key}.{part}: labelling loops have none")


def check_passes_differ(key: str, assembled: Assembled, datasets: Datasets) -> None:
    """Refuses passes with dropout of a network that has none.

    Raises:
      UserError: naming the key and the network.
    """
    variables = jax.eval_shape(assembled.init, np.uint32(0)).eval_variables
    image = jax.ShapeDtypeStruct((1, *datasets.train[0]["image"].shape), jnp.float32)
    try:
        check_dropout(assembled.model, variables, image)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def _loop(config, workdir: Path, name: str, seed: int, assembled: Assembled, datasets, backend) -> Loop:
    run, folder = config["runs"][name], workdir / name / f"seed_{seed}"
    identity = plain(
        {
            "seed": seed,
            "run": beyond_defaults(run, schema.run().to_dict()),
            "active": dict(config["active"]),
            "data": {key: config["data"][key] for key in ("name", "train", "validation", "image_size", "classes")},
            "view": beyond_defaults(config["view"], schema.experiment().view.to_dict()),
            "num_classes": datasets.info.num_classes,
            "class_names": datasets.info.class_names,
        }
    )
    oracle = _oracle(config["active"]["oracle"], folder, datasets)
    loop_facts = (run["query"], config["active"], oracle, identity)
    return Loop(name, seed, folder, assembled, datasets, backend, *loop_facts)


def _oracle(kind: str, folder: Path, datasets) -> Oracle:
    if kind == "dataset":
        return DatasetOracle(datasets.train)
    made = FolderOracle if kind == "folder" else LabelStudioOracle
    return made(folder / "queries", datasets.info.class_names)
