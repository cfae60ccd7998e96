"""Fewer weights: which ones matter (scores), which are kept (masks), and whole channels that are removed.

A path from weights to a sparse network: ``mask(magnitude(params), sparsity)`` → ``apply_masks(params, masks)``.
Everything but the removal of channels may be traced, the sparsity too.
"""

from effjax.pruning.channels import ChannelGroup, Member, mask_channels, remove_channels
from effjax.pruning.counts import channel_counts, rounded_count
from effjax.pruning.densities import erk, uniform
from effjax.pruning.dynamic import drop_fraction, rigl, set_update
from effjax.pruning.importance import channel_importance, kept_channels, most_important
from effjax.pruning.masks import SCOPES, apply_masks, count, mask, sparsity_of
from effjax.pruning.n_of_m import n_of_m_mask
from effjax.pruning.paths import prunable
from effjax.pruning.schedule import cubic_sparsity
from effjax.pruning.scores import SCORES, magnitude, saliency
from effjax.pruning.sr_ste import sr_ste

__all__ = [
    "SCOPES",
    "SCORES",
    "ChannelGroup",
    "Member",
    "apply_masks",
    "channel_counts",
    "channel_importance",
    "count",
    "cubic_sparsity",
    "drop_fraction",
    "erk",
    "kept_channels",
    "magnitude",
    "mask",
    "mask_channels",
    "most_important",
    "n_of_m_mask",
    "prunable",
    "remove_channels",
    "rigl",
    "rounded_count",
    "saliency",
    "set_update",
    "sparsity_of",
    "sr_ste",
    "uniform",
]
