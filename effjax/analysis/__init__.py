"""Measures of what one network has in common with another, and the changed images that bring it to light."""

from effjax.analysis.attacks import fgsm_step, ifgsm, step_size
from effjax.analysis.domains import add_noise, blur, edges, invert, shuffle_patches
from effjax.analysis.gradients import value_and_inner_grad
from effjax.analysis.intervals import Interval, mean_interval, paired_interval, wilson_interval
from effjax.analysis.localisation import grad_cam, gradient_times_input, map_similarity
from effjax.analysis.similarity import MinibatchCka, cka, linear_gram, unbiased_hsic
from effjax.analysis.transforms import color_jitter, random_resized_crop

__all__ = [
    "Interval",
    "MinibatchCka",
    "add_noise",
    "blur",
    "cka",
    "color_jitter",
    "edges",
    "fgsm_step",
    "grad_cam",
    "gradient_times_input",
    "ifgsm",
    "invert",
    "linear_gram",
    "map_similarity",
    "mean_interval",
    "paired_interval",
    "random_resized_crop",
    "shuffle_patches",
    "step_size",
    "unbiased_hsic",
    "value_and_inner_grad",
    "wilson_interval",
]
