"""Losses: pure functions from arrays to one value per example, never reduced.

Of ``dist``, ``class_correlation`` and ``log_distance`` there is one for the batch; ``region_logits`` and
``region_weights`` are of parts of images, of which losses are then taken.

``where=`` leaves examples out: they give 0 and no gradient, and the others are as if they were not there.
The losses that compare the examples of a batch (``dist``, ``relational_*``, ``similarity_preserving``,
``probabilistic_transfer``, ``contrastive``, ``correlation_congruence``, ``noise_contrastive``,
``example_correlation``, ``class_correlation``, ``gram_distance``, ``log_distance``)
take ``axis_name=``: the batch that lies along this mapped axis is compared as a whole.
"""

from effjax.losses.adaptive import adaptive_target, hard_label
from effjax.losses.attention import attention_transfer
from effjax.losses.boundaries import activation_boundary, expected_negative, partial_l2
from effjax.losses.boxes import generalized_iou_loss, quality_focal, soft_quality_focal
from effjax.losses.channels import channel_correlation
from effjax.losses.classification import cross_entropy
from effjax.losses.congruence import correlation_congruence
from effjax.losses.contrastive import contrastive
from effjax.losses.correlation import dist
from effjax.losses.decoupled import decoupled_kl
from effjax.losses.distances import adaptive_distance, gram_distance, log_distance
from effjax.losses.distillation import soft_target_kl, tempered_softmax
from effjax.losses.factors import factor_transfer
from effjax.losses.flow import solution_flow
from effjax.losses.hierarchical import hierarchical_context
from effjax.losses.hints import hint_mse
from effjax.losses.levels import class_correlation, example_correlation
from effjax.losses.logits import ensemble_logits, logit_mse
from effjax.losses.noise_contrastive import OfOtherClasses, moved_memory, noise_contrastive, of_other_classes
from effjax.losses.normalized import normalized_kd
from effjax.losses.probabilistic import probabilistic_transfer
from effjax.losses.relational import relational_angle, relational_distance
from effjax.losses.reversal import reversed_gradient
from effjax.losses.scales import region_logits, region_weights
from effjax.losses.selectivity import neuron_selectivity
from effjax.losses.self_paced import self_paced_weights
from effjax.losses.similarity import similarity_preserving
from effjax.losses.singular import singular_transfer
from effjax.losses.standardized import standardize_logits
from effjax.losses.super_loss import super_loss, super_loss_weights
from effjax.losses.variational import variational_information

__all__ = [
    "OfOtherClasses",
    "activation_boundary",
    "adaptive_distance",
    "adaptive_target",
    "attention_transfer",
    "channel_correlation",
    "class_correlation",
    "contrastive",
    "correlation_congruence",
    "cross_entropy",
    "decoupled_kl",
    "dist",
    "ensemble_logits",
    "example_correlation",
    "expected_negative",
    "factor_transfer",
    "generalized_iou_loss",
    "gram_distance",
    "hard_label",
    "hierarchical_context",
    "hint_mse",
    "log_distance",
    "logit_mse",
    "moved_memory",
    "neuron_selectivity",
    "noise_contrastive",
    "normalized_kd",
    "of_other_classes",
    "partial_l2",
    "probabilistic_transfer",
    "quality_focal",
    "region_logits",
    "region_weights",
    "relational_angle",
    "relational_distance",
    "reversed_gradient",
    "self_paced_weights",
    "similarity_preserving",
    "singular_transfer",
    "soft_quality_focal",
    "soft_target_kl",
    "solution_flow",
    "standardize_logits",
    "super_loss",
    "super_loss_weights",
    "tempered_softmax",
    "variational_information",
]
