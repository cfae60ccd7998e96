"""What changes during training, as plans over its progress."""

from effjax.curricula.budget import for_budget
from effjax.curricula.efficienttrain import (
    compute_progress,
    efficienttrain,
    efficienttrain_plus,
    epochs_for_compute,
    relative_cost,
    warmups_for_compute,
)
from effjax.curricula.pacing import pacing
from effjax.curricula.plans import Plan, Stage, stage_at, stages

__all__ = [
    "Plan",
    "Stage",
    "compute_progress",
    "efficienttrain",
    "efficienttrain_plus",
    "epochs_for_compute",
    "for_budget",
    "pacing",
    "relative_cost",
    "stage_at",
    "stages",
    "warmups_for_compute",
]
