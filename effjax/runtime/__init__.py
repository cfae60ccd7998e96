"""Running pure steps: the loop, the backends, checkpoints, processes, metrics."""

from effjax.runtime.backends import BACKENDS, Backend, jit_backend, make_backend, pmap_backend
from effjax.runtime.evaluators import Evaluator
from effjax.runtime.interrupt import EXIT_INTERRUPTED, Interrupted
from effjax.runtime.job import Feed, Job
from effjax.runtime.loop import Fitted, fit
from effjax.runtime.writers import read_metrics

__all__ = [
    "BACKENDS",
    "EXIT_INTERRUPTED",
    "Backend",
    "Evaluator",
    "Feed",
    "Fitted",
    "Interrupted",
    "Job",
    "fit",
    "jit_backend",
    "make_backend",
    "pmap_backend",
    "read_metrics",
]
