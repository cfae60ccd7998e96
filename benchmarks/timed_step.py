"""A compiled block of steps on random images, and what a step of it takes."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.effjax_step import RandomFeed
from effjax.curricula import stages
from effjax.runtime import Job, jit_backend
from effjax.runtime.job import spec
from effjax.steps import Objective, init_state, make_optimizer
from effjax.steps.members import Together


class MembersFeed(RandomFeed):
    """Random images for several networks, for each its own."""

    def __init__(self, members: int, batch_size: int, shape: tuple[int, ...], num_classes: int):
        super().__init__(batch_size, shape, num_classes)
        self.members = members

    def example(self, settings=None):
        return {name: np.stack([array] * self.members) for name, array in super().example(settings).items()}

    def block_example(self, length, settings=None):
        return {"row": np.zeros((length, self.members, self.batch_size), np.int32)}

    def blocks(self, settings, seed, start, stop, length):
        shape = (length, self.members, self.batch_size)
        for first in range(start, stop, length):
            yield {"row": np.random.default_rng(first).integers(0, 4 * self.batch_size, shape).astype(np.int32)}


class TimedStep:
    """One kind of step: its compiled block of steps, and what it has taken.

    Args:
      objective: what is minimised.
      shape: of an image.
      classes: K.
      batch: images a step.
      frozen: by teacher, what it reads.
      plans: of the run; stages follow from them.
      stage: which of these is timed.
      members: how many networks train in one program; None is one.
      unroll: whether these are laid out one after the other.
      seconds: how long one timing should take, at least.
    """

    def __init__(
        self,
        objective: Objective,
        shape: tuple[int, ...],
        classes: int,
        batch: int,
        *,
        frozen: dict[str, Any] | None = None,
        plans: dict[str, Any] | None = None,
        stage: int = 0,
        members: int | None = None,
        unroll: bool = False,
        seconds: float = 0.5,
    ):
        frozen, feed = frozen or {}, RandomFeed(batch, shape, classes)
        self.job = job = Job(
            objective=objective,
            optimizer=make_optimizer("sgd", 0.01),
            plan=stages(2048, plans or {"trainable": [[0.0, ".*"]]}),
            feed=MembersFeed(members, batch, shape, classes) if members else feed,
            backend=jit_backend(),
            batch_size=batch,
            evaluate_every=1024,
            checkpoint_every=1024,
            log_every=1024,
            members=Together(members, "ensemble") if members else None,
        )
        at, backend = job.plan[stage], job.backend

        def init(seed: jax.Array) -> Any:
            return init_state(objective, job.optimizer, seed, feed.example(), frozen=spec(frozen))

        seeds = jnp.arange(members, dtype=jnp.uint32) if members else jnp.uint32(0)
        state = jax.jit(jax.vmap(init) if members else init)(seeds)
        needed = {name: frozen[name] for name in job.objective_at(at).teachers}
        self.state = backend.replicate(jax.tree.map(np.asarray, state).replace(frozen=needed))
        self.length, _ = job.block_at(at, self.state)
        if unroll:  # which the platform decides otherwise
            job._unrolled.update(dict.fromkeys(job._unrolled, True))
        inputs = next(job.feed.blocks({}, 0, 0, self.length, self.length))
        self.inputs = backend.shard(inputs, axis=job.example_axis)
        self.resident = backend.replicate(job.feed.resident)
        self.program = job.compile(at, *spec((self.state, job.feed.resident)), spec(self.inputs))
        self.seconds: list[float] = []
        self._least = seconds

    def run(self, blocks: int) -> float:
        """Seconds a step, of so many blocks."""
        start = time.perf_counter()
        for _ in range(blocks):
            self.state, metrics = self.program(self.state, self.resident, self.inputs)
        jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / (blocks * self.length)

    def time(self) -> None:
        """Notes what a step takes now."""
        once = self.run(1) * self.length
        self.seconds.append(self.run(max(round(self._least / once), 1)))
