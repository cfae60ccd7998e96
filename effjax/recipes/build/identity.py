"""What makes a run the run that it is: what a stopped one is compared with before it goes on."""

import json
from collections.abc import Mapping
from typing import Any

#: Keys that may change between a run's start and its continuation, for they do not change what is computed.
_RUNTIME_KEYS = ("label", "keep", "num_seeds")
#: Keys that others read from a checkpoint, said even where they are the default.
_ALWAYS = ("model", "mean", "std")
#: What of ``config.data`` says which examples there are.
DATA_KEYS = ("name", "train", "validation", "image_size", "classes")


def beyond_defaults(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says beyond the defaults: keys that a later version adds do not make its runs other runs."""
    said = (key for key in config if key in _ALWAYS or plain(config[key]) != plain(defaults[key]))
    return {key: config[key] for key in said if key not in _RUNTIME_KEYS}


def plain(value: Any) -> Any:
    """Mappings and sequences as JSON has them."""
    return json.loads(json.dumps(value))
