"""Processes that make batches by their number. They import what reads, not JAX or Grain, and so start soon."""

import mmap
import multiprocessing
import os
import pickle
import queue
import threading
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from effjax.data import workers

Read = Callable[[int], dict[str, np.ndarray]]

_ALIGNED = 64  # bytes


class ReaderEnded(RuntimeError):
    """A reading process is no more.

    Args:
      code: its exit code; of one that was killed, minus the signal's number.
    """

    def __init__(self, code: int | None):
        super().__init__(f"a reading process ended with exit code {code}")
        self.code = code if code is not None else 1


class Readers:
    """Makes batches in other processes; called by several threads, each of which waits for its own.

    Args:
      read: makes batch ``i``; can be pickled.
      num_workers: how many processes.
      num_threads: how many batches each makes at once.
    """

    def __init__(self, read: Read, num_workers: int, num_threads: int):
        context = multiprocessing.get_context("spawn")
        self._free: queue.SimpleQueue[tuple[Connection, BaseProcess]] = queue.SimpleQueue()
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self._waiting = threading.Lock()
        for _ in range(num_workers):
            ours, theirs = zip(*(context.Pipe() for _ in range(num_threads)), strict=True)
            process = context.Process(target=_serve, args=(os.getpid(), read, theirs), daemon=True)
            process.start()
            self._processes.append(process)
            self._connections += ours
            for end in theirs:  # or nobody would hear that the process is no more
                end.close()
        for place in range(num_threads):  # one of each process first
            for number, process in enumerate(self._processes):
                self._free.put((self._connections[number * num_threads + place], process))

    def __call__(self, number: int) -> dict[str, np.ndarray]:
        """The batch of a number.

        Raises:
          ReaderEnded: if the process that was to make it is no more.
          Exception: what making it has raised.
        """
        connection, process = self._free.get()
        try:
            connection.send(int(number))
            error, described = connection.recv()
            if error is None:
                return _received(connection, described)
        except (EOFError, OSError) as gone:
            raise ReaderEnded(self._exit_code(process)) from gone
        finally:
            self._free.put((connection, process))
        raise error

    def close(self) -> None:
        """Ends the processes, whatever they do: they hold nothing that matters."""
        for process in self._processes:
            process.kill()  # they do not heed SIGTERM
        for process in self._processes:
            self._exit_code(process)

    def _exit_code(self, process: BaseProcess) -> int | None:
        with self._waiting:  # of two threads that wait at once, one would not learn how it ended
            process.join()
            return process.exitcode


def _serve(parent: int, read: Read, connections: Sequence[Connection]) -> None:
    """What a reading process does until it is ended."""
    workers.begin(parent)
    threads = [threading.Thread(target=_answer, args=(read, connection)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _answer(read: Read, connection: Connection) -> None:
    try:
        while True:
            number = connection.recv()
            try:
                batch = read(number)
            except Exception as error:  # of any kind: it is for whoever asked
                connection.send((_sendable(error), None))
            else:
                _send(connection, batch)
    except (EOFError, OSError):  # nobody asks any more, or there is no memory: whoever waits must hear of it
        os._exit(1)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of a class of its own, which does not say how it is made
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _send(connection: Connection, batch: dict[str, np.ndarray]) -> None:
    """Sends arrays in memory that both processes see, which is freed with the last of them."""
    if not hasattr(os, "memfd_create"):
        connection.send((None, batch))
        return
    described, size = [], 0
    for name, array in batch.items():
        described.append((name, array.dtype, array.shape, size))
        size += -(-array.nbytes // _ALIGNED) * _ALIGNED
    handle = os.memfd_create("batch")
    try:
        os.ftruncate(handle, max(size, 1))
        with mmap.mmap(handle, max(size, 1)) as memory:
            for (_, dtype, shape, start), array in zip(described, batch.values(), strict=True):
                _in(memory, dtype, shape, start)[...] = array
        connection.send((None, (described, max(size, 1))))
        reduction.send_handle(connection, handle, None)
    finally:
        os.close(handle)


def _received(connection: Connection, described: Any) -> dict[str, np.ndarray]:
    if not hasattr(os, "memfd_create"):
        return described
    arrays, size = described
    handle = reduction.recv_handle(connection)
    try:
        memory = mmap.mmap(handle, size)
    finally:
        os.close(handle)
    return {name: _in(memory, dtype, shape, start) for name, dtype, shape, start in arrays}


def _in(memory: mmap.mmap, dtype: np.dtype, shape: tuple[int, ...], start: int) -> np.ndarray:
    return np.ndarray(shape, dtype, memory, start)
