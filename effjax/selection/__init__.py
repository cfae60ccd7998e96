"""Which examples to label next: positions in a pool as int32 arrays, no duplicates."""

from effjax.selection import streams
from effjax.selection.badge import badge
from effjax.selection.batch_bald import batch_bald
from effjax.selection.category_diverse import category_diverse, image_distances
from effjax.selection.dataset_map import DatasetMap, dataset_map, map_of_records, rank_outliers
from effjax.selection.extended_map import extend_map
from effjax.selection.k_center import k_center_greedy
from effjax.selection.running import RunningTopK
from effjax.selection.top import class_balanced, power_batch, random_batch, top_k
from effjax.selection.typiclust import typiclust

__all__ = [
    "DatasetMap",
    "RunningTopK",
    "badge",
    "batch_bald",
    "category_diverse",
    "class_balanced",
    "dataset_map",
    "extend_map",
    "image_distances",
    "k_center_greedy",
    "map_of_records",
    "power_batch",
    "random_batch",
    "rank_outliers",
    "streams",
    "top_k",
    "typiclust",
]
