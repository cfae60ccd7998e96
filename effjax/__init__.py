"""effjax: efficient computer vision in JAX.

The pure functions, for use in research code::

    from effjax import losses, metrics, images, curricula
    loss = losses.soft_target_kl(student_logits, teacher_logits, temperature=4.0)  # one value per example
"""

from effjax import curricula, images, losses, metrics

__version__ = "0.1.0"

__all__ = ["curricula", "images", "losses", "metrics"]
