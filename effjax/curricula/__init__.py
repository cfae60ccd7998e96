"""What changes during training, as plans over its progress; and which examples it is worth to train on."""

from effjax.curricula.budget import for_budget
from effjax.curricula.efficienttrain import (
    compute_progress,
    efficienttrain,
    efficienttrain_plus,
    efficienttrain_replay,
    epochs_for_compute,
    relative_cost,
    warmups_for_compute,
)
from effjax.curricula.example_scores import el2n, gradient_norms
from effjax.curricula.fixres import fixres
from effjax.curricula.pacing import pacing
from effjax.curricula.plans import Plan, Stage, stage_at, stages
from effjax.curricula.smoothing import smoothing

__all__ = [
    "Plan",
    "Stage",
    "compute_progress",
    "efficienttrain",
    "efficienttrain_plus",
    "efficienttrain_replay",
    "el2n",
    "epochs_for_compute",
    "fixres",
    "for_budget",
    "gradient_norms",
    "pacing",
    "relative_cost",
    "smoothing",
    "stage_at",
    "stages",
    "warmups_for_compute",
]
