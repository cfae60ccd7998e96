"""Which examples to label next: positions in a pool as int32 arrays, no duplicates."""

from effjax.selection import streams
from effjax.selection.badge import badge
from effjax.selection.batch_bald import batch_bald
from effjax.selection.dataset_map import DatasetMap, dataset_map, rank_outliers
from effjax.selection.k_center import k_center_greedy
from effjax.selection.top import class_balanced, power_batch, random_batch, top_k
from effjax.selection.typiclust import typiclust

__all__ = [
    "DatasetMap",
    "badge",
    "batch_bald",
    "class_balanced",
    "dataset_map",
    "k_center_greedy",
    "power_batch",
    "random_batch",
    "rank_outliers",
    "streams",
    "top_k",
    "typiclust",
]
