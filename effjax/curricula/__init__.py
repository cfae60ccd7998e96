"""What changes during training, as plans over its progress."""

from effjax.curricula.plans import Plan, Stage, stage_at, stages

__all__ = ["Plan", "Stage", "stage_at", "stages"]
