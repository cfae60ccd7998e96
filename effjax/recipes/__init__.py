"""Experiments: the only modules that read a config."""

from collections.abc import Callable, Mapping
from typing import Any

from effjax.errors import UserError, nearest
from effjax.recipes import active, distill

RECIPES: dict[str, Callable[..., Any]] = {
    "active": active.main,
    "distill": distill.main,
}


def find_recipe(config: Mapping[str, Any]) -> str:
    """Returns the name of the config's recipe.

    Raises:
      UserError: if there is none of that name.
    """
    name = config.get("recipe", "")
    if not isinstance(name, str) or name not in RECIPES:
        raise UserError(f"config.recipe={name!r}; {nearest(name, RECIPES)}")
    return name
