"""What makes a run the run that it is: what a stopped one is compared with before it goes on."""

import json
from collections.abc import Mapping
from typing import Any

from effjax.data.base import DatasetInfo
from effjax.recipes.build.folders import drawn
from effjax.recipes.schema import fields
from effjax.recipes.schema.experiment_keys import Data, View
from effjax.recipes.schema.loop_keys import Active
from effjax.recipes.schema.run_keys import Run

#: Keys that may change between a run's start and its continuation, for they do not change what is computed.
_RUNTIME_KEYS = ("label", "keep", "num_seeds", "remat", "sharding")
#: Keys that others read from a checkpoint, said even where they are the default.
_ALWAYS = ("model", "mean", "std")
#: Parts of an identity that are parts of a config.
_OF_CONFIG = {"run": Run, "view": View, "active": Active}
#: What of ``config.data`` says which examples there are; of what came later, only what is not the default.
_DATA_KEYS = ("name", "train", "validation", "image_size", "classes")


def identity(
    config: Mapping[str, Any], run: Mapping[str, Any], info: DatasetInfo, seed: int | list[int], **own: Any
) -> dict[str, Any]:
    """What makes a run the run that it is.

    Args:
      config: of its experiment.
      run: its own, with its teachers expanded.
      info: of its dataset.
      seed: its own; of several networks, one each.
      **own: what else does, of its recipe.
    """
    facts = {"seed": seed, "run": beyond_defaults(run, Run), **own}
    facts.setdefault("data", data_facts(config["data"], "also", "label_noise", "padded", "crop_pct"))
    if config["task"] != "classification":
        facts["task"] = config["task"]
    if config["views"]:
        facts["views"] = config["views"]
    facts |= {"view": beyond_defaults(config["view"], View), "eval_batch_size": config["eval_batch_size"]}
    return plain({**facts, "num_classes": info.num_classes, "class_names": info.class_names})


def data_facts(data: Mapping[str, Any], *later: str) -> dict[str, Any]:
    """What says which examples there are.

    Args:
      data: ``config.data``.
      *later: keys that are said only where they are not the default.
    """
    defaults = fields.plain(Data())
    said = [*_DATA_KEYS, *(key for key in later if plain(data[key]) != plain(defaults[key]))]
    return {**{key: data[key] for key in said}, **drawn(data)}


def beyond_defaults(config: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """What a config says beyond the defaults: keys that a later version adds do not make its runs other runs.

    Args:
      config: the keys of a class of the schema.
      cls: the class.
    """
    defaults = fields.plain(cls())
    said = (key for key in config if key in _ALWAYS or plain(config[key]) != plain(defaults[key]))
    return {key: config[key] for key in said if key not in _RUNTIME_KEYS}


def plain(value: Any) -> Any:
    """Mappings and sequences as JSON has them."""
    return json.loads(json.dumps(value))


def as_of_today(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a run the run that it is, as an earlier version wrote it or this one: with every key that there is.

    Keys that came later make no run another run, of a teacher or a selection either; so two are compared in this form.
    """
    parts = {name: fields.keys_of(cls) for name, cls in _OF_CONFIG.items() if name in facts}
    return plain({**facts, **{name: fields.completed(keys, facts[name]) for name, keys in parts.items()}})
