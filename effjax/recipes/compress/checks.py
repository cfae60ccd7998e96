"""What the recipe refuses before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from effjax.errors import UserError, nearest, noted, refuse
from effjax.export.sessions import check_installed
from effjax.models import QuantizedModule, Scheme, deploy
from effjax.recipes.train.runs import TrainingExperiment
from effjax.tasks import find_task

#: What other recipes compare runs by: each export says itself what it is compared with.
_OF_RUNS = ("claims", "control", "reference")


def export_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What cannot be exported and measured: a line for each mistake of a config whose keys and values are right."""
    exports, runs = config["exports"], config["runs"]
    if not exports:
        yield "config.exports is empty: the recipe compress has at least one file, e.g. schema.export('student')"
    for name in config["table"]:
        if name not in exports:
            yield f"config.table: no export {name!r}; {nearest(name, exports)}"
        elif (control := exports[name]["control"]) in exports and control not in config["table"]:
            yield f"config.table: the control of {name!r}, {control!r}, is not in it"
    for key in _OF_RUNS:
        if config[key]:
            yield f"config.{key}: the recipe compress compares each of config.exports with its own control"
    if config["data"]["pool"]:
        yield "config.data.pool: images without labels are for the recipe 'active'"
    if not find_task(config["task"]).of_classes:
        yield f"config.task={config['task']!r}: the recipe compress measures what answers with a class"
    for name, export in exports.items():
        key, run = f"config.exports.{name}", runs.get(export["run"])
        if run is None:  # which is said by the schema
            continue
        if run["folds"]:
            yield f"{key}.run={export['run']!r} is a cross-validation of {run['folds']} networks: a file has one"
        trained = (run["plans"].get("bits") or ((0.0, None),))[-1][1]
        if trained is not None and export["bits"] not in ("", trained):
            yield f"{key}.bits={export['bits']!r}: the run is trained with {trained}; leave it empty"


def check_exports(experiment: TrainingExperiment) -> None:
    """Refuses networks that cannot be deployed, before they are trained; nothing is computed.

    Args:
      experiment: whose ``config.exports`` they are.

    Raises:
      UserError: naming the export and what of it cannot; or what is not installed.
    """
    check_installed()
    if jax.process_count() > 1:
        raise UserError("one process exports and measures: train with --only in several, then run the command alone")
    shape, found = experiment.datasets.train.info.image_shape, list[str]()
    if shape is None:
        raise UserError("config.data: images of many sizes; only networks for one size are exported")
    for name, export in experiment.config["exports"].items():
        module: Any = experiment.runs[export["run"]].job.network_at_end.module
        with noted(found, f"config.exports.{name}"):
            if isinstance(module, QuantizedModule):
                module.graph(shape)
            elif export["bits"]:
                QuantizedModule(module, Scheme.parse(export["bits"])).graph(shape)
            else:
                image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
                deploy(module, jax.eval_shape(module.init, jax.random.key(0), image), shape)
    refuse(found)
