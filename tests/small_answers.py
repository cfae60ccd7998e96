"""A teacher's answers on a few images, in this process or as one of its own: python -m small_answers FOLDER STOP_AT."""

import functools
import sys
import time
from pathlib import Path

import jax
import numpy as np
from conftest import ArraySource

from effjax import models
from effjax.data.base import Subset
from effjax.recipes.build.answers import stored_answers
from effjax.runtime import jit_backend
from effjax.steps import NetworkTeacher, Shift, View

COUNT, PART, BATCH = 40, 8, 4
IDS = np.r_[2:COUNT, 1]  # not all, and not in order


class Counted(ArraySource):
    """Notes which rows are read; at one of them it stops for good."""

    def __init__(self, stop_at: int = -1):
        super().__init__(COUNT)
        self.read: list[int] = []
        self.stop_at = stop_at

    def __getitem__(self, row):
        self.read.append(int(row))
        if row == self.stop_at:
            print("stopped", flush=True)
            time.sleep(600)
        return super().__getitem__(row)


@functools.cache
def teacher_of(view: View):
    """An MLP, and what it has learnt: nothing."""
    module = models.create("mlp", 2, widths=(4,))
    variables = jax.tree.map(np.asarray, dict(module.init(jax.random.key(0), np.zeros((1, 2, 3, 1), np.float32))))
    return NetworkTeacher(module, view), variables


def answers(folder: Path, source: Counted, form: str = "float32", versions: int = 1):
    """The table, part by part."""
    view = View(ops=(Shift(1),), replays=versions) if versions > 1 else View()
    teacher, variables = teacher_of(view)
    few, backend = Subset(source, IDS), jit_backend(jax.devices()[:1])
    return stored_answers(folder, {"params": "0"}, teacher, variables, few, view, 3, form, backend, BATCH, PART)


if __name__ == "__main__":
    answers(Path(sys.argv[1]), Counted(int(sys.argv[2])))
