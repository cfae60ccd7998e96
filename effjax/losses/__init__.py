"""Losses: pure functions from arrays to one value per example, never reduced."""

from effjax.losses.classification import cross_entropy
from effjax.losses.distillation import soft_target_kl, tempered_softmax

__all__ = ["cross_entropy", "soft_target_kl", "tempered_softmax"]
