"""effjax: efficient computer vision in JAX.

The pure functions, for use in research code::

    from effjax import analysis, losses, metrics, images, curricula
    loss = losses.soft_target_kl(student_logits, teacher_logits, temperature=4.0)  # one value per example
"""

from effjax import analysis, curricula, images, losses, metrics

__version__ = "0.1.0"

__all__ = ["analysis", "curricula", "images", "losses", "metrics"]
