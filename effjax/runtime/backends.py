"""How a pure step runs on many devices: two backends, one step.

Both keep the state whole on every device, never stacked, and cut the batch over them. They differ in how the step sees
it: under ``jit`` it sees the global batch and the compiler cuts it; under ``pmap`` it sees one device's part and
averages over the named axis itself. Under ``jit`` a :class:`~effjax.runtime.layouts.Layout` may have the devices share
a state's arrays.
"""

import abc
import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from effjax.errors import UserError, check_known
from effjax.runtime.hosts import barrier
from effjax.runtime.layouts import WHOLE, Layout
from effjax.typing import Device, PyTree

AXIS = "batch"

# jaxlib 0.10 hands unpadded convolutions on CPU to a library that runs them on one core: a training step of a small
# convolutional network takes two to three times as long. Empty, nothing is handed over; dense networks are better off
# with it.
_CPU_OPTIONS: dict[str, str | bool] = {"xla_cpu_experimental_ynn_fusion_type": ""}


_RESULTS_IN_FLIGHT = 8  # of batches that are evaluated: so a device does not wait for the host between two


class Backend(abc.ABC):
    """Places arrays on devices and compiles functions ``(state, resident, inputs) -> (state, metrics)`` for them.

    Attributes:
      axis_name: what a step must average over by itself, or None.
      devices_seen: over how many devices the batch is laid that a step sees.
      devices: all devices of the run, those of other processes included.
    """

    axis_name: str | None
    devices_seen: int

    def __init__(self, devices: Sequence[Device] | None = None):
        self.devices = list(jax.devices() if devices is None else devices)
        self.mesh = jax.sharding.Mesh(np.array(self.devices), (AXIS,))
        self._replicated = jax.NamedSharding(self.mesh, jax.P())

    @property
    def platform(self) -> str:
        return self.devices[0].platform

    def check_batch_size(self, batch_size: int) -> None:
        """Refuses a global batch size that the devices do not divide.

        Raises:
          UserError: naming the nearest sizes that fit.
        """
        count = len(self.devices)
        if batch_size <= 0 or batch_size % count:
            below, above = batch_size // count * count, (batch_size // count + 1) * count
            fitting = f"{above}" if below <= 0 else f"{below} or {above}"
            raise UserError(f"batch_size={batch_size} is not a multiple of the {count} devices; use {fitting}")

    def check_layout(self, layout: Layout, state: PyTree) -> None:
        """Refuses a layout that does not fit a state, arrays or shapes.

        Raises:
          UserError: saying what does not fit.
        """
        layout.check(state, len(self.devices))

    def replicate(self, tree: PyTree) -> PyTree:
        """Puts every array whole on every device. Copies: what comes in stays valid when the result is donated."""
        return self.place(tree, WHOLE)

    def place(self, state: PyTree, layout: Layout) -> PyTree:
        """Lays a state on the devices; every process gives all of it. Copies, as :meth:`replicate` does."""

        def put(array: Any, sharding: jax.NamedSharding) -> jax.Array:
            host = np.array(array)  # a fresh copy, since on CPU a device array may share the host's memory
            if sharding.is_fully_replicated:
                return jax.make_array_from_process_local_data(sharding, host, host.shape)
            return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index].copy())

        return jax.tree.map(put, state, layout.shardings(state, self.mesh))

    def whole(self, tree: PyTree) -> PyTree:
        """The arrays of a placed state, whole on every device."""
        return tree

    def fetch(self, tree: PyTree) -> PyTree:
        """Copies arrays to the host, as numpy; what lies on the devices in parts is put together."""
        local = jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)
        for array in jax.tree.leaves(local):
            if isinstance(array, jax.Array):
                array.copy_to_host_async()  # all copies are under way before the first is waited for
        return jax.tree.map(np.array, local)

    def fetch_each(self, results: Iterable[PyTree]) -> Iterator[PyTree]:
        """Fetches results in order, while the devices already work on those that follow."""
        pending: collections.deque[PyTree] = collections.deque()
        for result in results:
            pending.append(result)
            if len(pending) > _RESULTS_IN_FLIGHT:
                yield self.fetch(pending.popleft())
        while pending:
            yield self.fetch(pending.popleft())

    def _compiled(self, lowered: jax.stages.Lowered) -> Callable:
        program = self._compiled_here(lowered)
        return program if jax.process_count() == 1 else _Together(program)

    def _compiled_here(self, lowered: jax.stages.Lowered) -> Callable:
        if self.platform != "cpu" or "stablehlo.convolution" not in lowered.as_text():
            return lowered.compile()
        try:
            return lowered.compile(compiler_options=_CPU_OPTIONS)
        except jax.errors.JaxRuntimeError as error:
            if "compile option" not in str(error):
                raise
            return lowered.compile()  # a jaxlib that no longer knows the option

    def spread(self, batch: PyTree) -> PyTree:
        """Lays a batch that a step has made, examples first, over the devices; inside of the step."""
        return batch

    @abc.abstractmethod
    def shard(self, inputs: PyTree, *, axis: int) -> PyTree:
        """Places this process's part of a batch; ``axis`` is the one that examples lie along."""

    @abc.abstractmethod
    def compile(
        self,
        function: Callable,
        state: PyTree,
        resident: PyTree,
        inputs: PyTree,
        *,
        axis: int,
        donate: bool,
        layout: Layout = WHOLE,
    ) -> Callable:
        """Compiles ``function`` ahead of its first call.

        Args:
          function: pure, ``(state, resident, inputs) -> (state, metrics)``, or to metrics alone.
          state: arrays or their shapes.
          resident: replicated arrays or their shapes.
          inputs: placed by :meth:`shard`.
          axis: the axis of the inputs that examples lie along.
          donate: whether the state's memory may be reused for the result.
          layout: how the state lies on the devices that the function takes and, where it is reused, returns.

        Returns:
          The compiled function.
        """


class JitBackend(Backend):
    """``jax.jit`` with named shardings: the step sees the global batch."""

    axis_name = None

    @property
    def devices_seen(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return len(self.devices)

    def _sharding(self, axis: int) -> jax.NamedSharding:
        return jax.NamedSharding(self.mesh, jax.P(*([None] * axis), AXIS))

    def shard(self, inputs: PyTree, *, axis: int) -> PyTree:
        sharding = self._sharding(axis)
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), inputs)

    def spread(self, batch: PyTree) -> PyTree:
        return jax.lax.with_sharding_constraint(batch, self._sharding(0)) if len(self.devices) > 1 else batch

    def whole(self, tree: PyTree) -> PyTree:
        return tree if all(x.is_fully_replicated for x in jax.tree.leaves(tree)) else self._put_together(tree)

    @functools.cached_property
    def _put_together(self) -> Callable:
        return jax.jit(lambda tree: tree, out_shardings=self._replicated)

    def fetch(self, tree: PyTree) -> PyTree:
        return super().fetch(jax.tree.map(self._whole_on_host, tree))

    def _whole_on_host(self, array: Any) -> Any:
        """One at a time, so that no device ever holds more than one of them whole."""
        if not isinstance(array, jax.Array) or array.is_fully_replicated:
            return array
        return np.array(array if array.is_fully_addressable else self._put_together(array).addressable_data(0))

    def compile(self, function, state, resident, inputs, *, axis, donate, layout=WHOLE):
        laid = layout.shardings(state, self.mesh)
        jitted = jax.jit(
            function,
            in_shardings=(laid, self._replicated, self._sharding(axis)),
            out_shardings=self._replicated if layout == WHOLE else (laid, self._replicated),
            donate_argnums=(0,) if donate else (),
        )
        return self._compiled(jitted.lower(*_shapes((state, resident, inputs))))


class PmapBackend(Backend):
    """``jax.pmap``: the step sees one device's part of the batch and averages over the axis."""

    axis_name = AXIS
    devices_seen = 1

    def check_layout(self, layout: Layout, state: PyTree) -> None:
        if layout != WHOLE:
            raise UserError("sharding: backend='pmap' keeps every array whole on every device; allowed: backend='jit'")

    def shard(self, inputs: PyTree, *, axis: int) -> PyTree:
        sharding = jax.NamedSharding(self.mesh, jax.P(AXIS))
        local = len([d for d in self.devices if d.process_index == jax.process_index()])

        def place(x: Any) -> jax.Array:
            x = np.asarray(x)
            parts = x.reshape(*x.shape[:axis], local, x.shape[axis] // local, *x.shape[axis + 1 :])
            return jax.make_array_from_process_local_data(sharding, np.moveaxis(parts, axis, 0))

        return jax.tree.map(place, inputs)

    def compile(self, function, state, resident, inputs, *, axis, donate, layout=WHOLE):
        mapped = jax.pmap(
            function,
            axis_name=AXIS,
            in_axes=(None, None, 0),
            out_axes=None,
            devices=self.devices,
            donate_argnums=(0,) if donate else (),
        )
        args = (state, resident, inputs)
        if jax.process_count() == 1:
            return self._compiled(mapped.lower(*_shapes(args)))
        return self._compiled(mapped.lower(*self._local_stand_ins(*args)))

    def _local_stand_ins(self, state: PyTree, resident: PyTree, inputs: PyTree) -> PyTree:
        """Arrays of this process alone: with several processes ``pmap`` takes no shapes in their stead."""
        local = len([d for d in self.devices if d.process_index == jax.process_index()])
        whole = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (state, resident))
        return (*whole, jax.tree.map(lambda x: np.zeros((local, *x.shape[1:]), x.dtype), inputs))


class _Together:
    """A program of several processes: the first call waits until all have compiled it.

    Its collectives would not: on CPU they give up after 30 seconds.
    """

    def __init__(self, program: Callable):
        self._program, self._met = program, False

    def __call__(self, *args: Any) -> Any:
        if not self._met:
            barrier("a program is compiled")
            self._met = True
        return self._program(*args)


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def jit_backend(devices: Sequence[Device] | None = None) -> Backend:
    """The backend on ``jax.jit``, over ``devices`` or all there are."""
    return JitBackend(devices)


def pmap_backend(devices: Sequence[Device] | None = None) -> Backend:
    """The backend on ``jax.pmap``, over ``devices`` or all there are."""
    return PmapBackend(devices)


BACKENDS = {"jit": jit_backend, "pmap": pmap_backend}


def make_backend(name: str, devices: Sequence[Device] | None = None) -> Backend:
    """Makes the backend ``name``.

    Raises:
      UserError: if there is none of that name.
    """
    check_known(name, BACKENDS, f"backend={name!r}")
    return BACKENDS[name](devices)
