"""What a config may say: its keys, their defaults, and what each may be."""

from effjax.recipes.schema.configs import (
    active,
    check,
    coreset,
    distilled,
    experiment,
    export,
    outliers,
    paced,
    query,
    rewound,
    run,
    selection,
    stream,
    teacher_of_checkpoint,
    teacher_of_function,
    teacher_of_run,
    teacher_of_weights,
    weighting,
)
from effjax.recipes.schema.keys import check_variant
from effjax.recipes.schema.order import in_order, needed_by, runs_before

__all__ = [
    "active",
    "check",
    "check_variant",
    "coreset",
    "distilled",
    "experiment",
    "export",
    "in_order",
    "needed_by",
    "outliers",
    "paced",
    "query",
    "rewound",
    "run",
    "runs_before",
    "selection",
    "stream",
    "teacher_of_checkpoint",
    "teacher_of_function",
    "teacher_of_run",
    "teacher_of_weights",
    "weighting",
]
