"""What a labelling loop refuses before anything is trained."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.data.base import Source, global_ids
from effjax.data.ledger import Ledger
from effjax.errors import UserError, nearest
from effjax.recipes.acquisition import check_query
from effjax.recipes.assemble import Assembled
from effjax.recipes.datasets import Datasets
from effjax.steps.predictions import check_dropout

_ORACLES = ("dataset", "folder", "label_studio")


def check(config: Mapping[str, Any]) -> None:
    """Refuses what a labelling loop cannot do.

    Raises:
      UserError: naming the key.
    """
    active = config["active"]
    for key, allowed in (("oracle", _ORACLES), ("start", ("cold", "warm"))):
        if active[key] not in allowed:
            raise UserError(f"config.active.{key}={active[key]!r}; {nearest(active[key], allowed)}")
    if config["data"]["pool"] and active["oracle"] == "dataset":
        raise UserError(
            f"config.active.oracle='dataset': nobody knows the labels of config.data.pool={config['data']['pool']!r}; "
            "ask people: folder, or label_studio"
        )
    for key in ("initial", "per_round", "rounds", "scoring_batch"):
        if isinstance(active[key], bool) or not isinstance(active[key], int) or active[key] < 1:
            raise UserError(f"config.active.{key}={active[key]!r} must be a whole number, 1 or more")
    if active["cost_per_label"] <= 0 or active["budget"] < 0:
        raise UserError("config.active.cost_per_label must be above 0, and config.active.budget not below")
    if active["budget"] and active["budget"] < active["initial"] * active["cost_per_label"]:
        raise UserError(
            f"config.active.budget={active['budget']} does not pay for config.active.initial={active['initial']} labels"
        )
    if not any(run["query"] for run in config["runs"].values()):
        raise UserError("config.runs: none has a query; the recipe active chooses by it, e.g. schema.query()")
    for name, one in config["runs"].items():
        _check_run(config, name, one)
    if config["seeds_together"]:
        _check_together(config)


def _check_together(config: Mapping[str, Any]) -> None:
    """Refuses what loops that go in step cannot do, each for itself."""
    active = config["active"]
    if active["oracle"] != "dataset":
        raise UserError(f"config.seeds_together: loops of people ({active['oracle']!r}) go each at its own pace")
    for key in ("target", "patience"):
        if active[key]:
            raise UserError(f"config.active.{key}={active[key]}: loops that train together end together: set it to 0")
    for name, one in config["runs"].items():
        query = one["query"] or {"predictions": "single", "stream": {}}
        if query["predictions"] == "ensemble" or query["stream"]:
            raise UserError(
                f"config.runs.{name}.query: with config.seeds_together there are no ensembles and no streams"
            )


def _check_run(config: Mapping[str, Any], name: str, run: Mapping[str, Any]) -> None:
    key, query = f"config.runs.{name}", run["query"]
    for part in ("teachers", "pacing", "without_classes", "folds", "init"):
        if run[part]:
            raise UserError(f"{key}.{part}: labelling loops have none")
    if "data" in run["plans"]:
        raise UserError(f"{key}.plans.data: labelling loops draw from what is labelled")
    if not query:
        if config["active"]["oracle"] != "dataset":
            raise UserError(
                f"{key}.query is missing: without one a run trains on the labels of the whole pool, which "
                f"config.active.oracle={config['active']['oracle']!r} has not got"
            )
        return
    check_query(f"{key}.query", query)
    if not run["steps"]:
        raise UserError(f"{key}.steps=0: give a length in steps: the labels grow from round to round")
    if outliers := query["outliers"]:
        if outliers["source"] == "predicted" and not run["record"]:
            raise UserError(f"{key}.record must be True: outliers are predicted from the map that training records")
        if outliers["source"] == "labels":
            reference = config["runs"].get(outliers["run"])
            if reference is None:
                raise UserError(
                    f"{key}.query.outliers.run={outliers['run']!r}; {nearest(outliers['run'], config['runs'])}"
                )
            if reference["query"] or not reference["record"]:
                raise UserError(
                    f"{key}.query.outliers.run={outliers['run']!r} must be a run without a query, with record=True"
                )


def check_ledger(ledger: Ledger, pool: Source) -> None:
    """Refuses a ledger of examples or labels that there are not: one without checksums may be damaged unnoticed.

    Raises:
      UserError: naming the example.
    """
    known = np.isin(np.array([entry.id for entry in ledger.entries], np.float64), global_ids(pool))
    for entry, is_known in zip(ledger.entries, known, strict=True):
        if not is_known or (entry.label is not None and entry.label >= pool.info.num_classes):
            said = f"label {entry.label}" if is_known else "it"
            raise UserError(
                f"{ledger.path}: example {entry.id}: {said} is not in {pool.info.name}/{pool.info.split}: the file is "
                "damaged, or the data are not those it was written for; put back what has changed, or begin a new loop "
                "with another --workdir"
            )


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
