"""effjax: efficient computer vision in JAX.

The pure functions, for use in research code::

    from effjax import losses, metrics, selection, uncertainty
    loss = losses.soft_target_kl(student_logits, teacher_logits, temperature=4.0)  # one value per example
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effjax import (
        analysis,
        boxes,
        curricula,
        images,
        losses,
        metrics,
        models,
        pruning,
        quantization,
        selection,
        steps,
        tasks,
        uncertainty,
    )

__version__ = "0.1.0"

__all__ = [
    "analysis",
    "boxes",
    "curricula",
    "images",
    "losses",
    "metrics",
    "models",
    "pruning",
    "quantization",
    "selection",
    "steps",
    "tasks",
    "uncertainty",
]


def __getattr__(name: str) -> Any:
    """Imports a package where it is first used: a launcher must not wait for JAX to hear a signal."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
