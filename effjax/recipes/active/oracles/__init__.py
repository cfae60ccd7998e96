"""Who says what an image shows: the dataset itself, people with a folder, people with Label Studio."""

from effjax.recipes.active.oracles.base import Oracle, Query
from effjax.recipes.active.oracles.dataset import DatasetOracle
from effjax.recipes.active.oracles.folder import FolderOracle
from effjax.recipes.active.oracles.label_studio import LabelStudioOracle

__all__ = ["DatasetOracle", "FolderOracle", "LabelStudioOracle", "Oracle", "Query"]
