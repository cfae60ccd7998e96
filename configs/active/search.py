"""What the searches of settings share: random labels, two seeds, the validation set in place of the test set."""

from collections.abc import Callable, Mapping
from typing import Any

import ml_collections


def on_validation(
    config: ml_collections.ConfigDict,
    title: str,
    settings: Mapping[str, Any],
    change: Callable[[ml_collections.ConfigDict, Any], str],
) -> ml_collections.ConfigDict:
    """Turns an experiment's loop ``random`` into one loop for each setting; the first is what others are compared with.

    Args:
      config: the experiment, changed in place and returned.
      title: of the report.
      settings: by loop.
      change: applies a setting to a loop, and returns the loop's label.
    """
    config.title, config.num_seeds = f"{title} (validation set)", min(config.num_seeds, 2)
    config.data.test, config.active.watch = "validation", ()
    base, config.runs = config.runs.random, {}
    for name, setting in settings.items():
        config.runs[name] = base.copy_and_resolve_references()
        config.runs[name].label = change(config.runs[name], setting)
    config.control, config.table, config.claims = next(iter(settings)), tuple(settings), ()
    return config
