"""The schema by its old name, which configs that people have written still import."""

from effjax.recipes.schema import *  # noqa: F403
