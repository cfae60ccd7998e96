"""Experiments: the only modules that read a config."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from effjax.errors import UserError, nearest

#: By the name in ``config.recipe``, the module whose ``main`` runs it.
RECIPES = {
    "active": "effjax.recipes.active.experiment",
    "compress": "effjax.recipes.compress.experiment",
    "distill": "effjax.recipes.train.experiment",
}


def find_recipe(config: Mapping[str, Any]) -> Callable[..., Any]:
    """Returns the function that runs the config's recipe.

    Raises:
      UserError: if there is none of that name.
    """
    name = config.get("recipe", "")
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"config.recipe={name!r}; {nearest(name, RECIPES)}")
    return importlib.import_module(RECIPES[name]).main
