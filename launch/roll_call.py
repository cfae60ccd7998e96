"""The processes of one run call one another: who has not come, who has failed and why, who was asked to stop.

JAX notices a process that is gone after minutes, and ends the others with a stack of C++. These calls, one line of JSON
each over TCP, go from supervisor to supervisor (:mod:`launch.supervisor`), beside JAX: process 0 listens at the
coordinator's port + 1, the others connect, and what one of them says it passes on to all.
"""

import contextlib
import json
import queue
import socket
import threading
import time
from typing import Any

_RETRY_SECONDS = 0.2


class RollCall:
    """One process's part of it.

    Args:
      coordinator: ``host:port`` of process 0, as JAX is given it.
      num_processes: of the run.
      process_id: which of them this is.
      start_seconds: how long to wait for all to come.
      silent_seconds: how long a process may say nothing, not even that it is alive, before it counts as gone.

    Attributes:
      news: what happened, in order: ``{"failed": "process 1 on host b: …"}`` or ``{"stopped": …}``.
    """

    def __init__(
        self, coordinator: str, num_processes: int, process_id: int, start_seconds: float, silent_seconds: float
    ):
        host, _, port = coordinator.rpartition(":")
        self._address = host.strip("[]"), int(port) + 1
        self._count, self._id = num_processes, process_id
        self._start, self._silent = start_seconds, silent_seconds
        self.news: queue.Queue[dict[str, Any]] = queue.Queue()
        self._peers: dict[int, socket.socket] = {}
        self._names = {0: f"process 0 at {coordinator}"}
        self._done: set[int] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        if process_id == 0:
            self._listener = socket.create_server(("", self._address[1]), backlog=num_processes)
        threading.Thread(target=self._call if process_id == 0 else self._answer, daemon=True).start()
        threading.Thread(target=self._stay_alive, daemon=True).start()

    def say(self, what: dict[str, Any]) -> None:
        """Tells all others."""
        self._send({**what, "from": self._id})

    def wait_for_others(self) -> None:
        """Where this process is done: process 0 stays, to pass on what the others say, until they are done too."""
        end = time.monotonic() + self._silent
        while self._id == 0 and len(self._done) < len(self._peers) and time.monotonic() < end and self.news.empty():
            time.sleep(0.02)

    def _call(self) -> None:
        """Process 0: takes all in, and says who has not come."""
        end = time.monotonic() + self._start
        assert self._listener  # of process 0
        while len(self._peers) < self._count - 1:
            self._listener.settimeout(max(end - time.monotonic(), 0.01))
            try:
                peer, (host, *_) = self._listener.accept()
                peer.settimeout(self._silent)
                lines = peer.makefile("r")
                number = int(json.loads(lines.readline())["here"])
            except TimeoutError:
                missing = sorted(set(range(1, self._count)) - self._peers.keys())
                who = f"process{'es' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {self._count}"
                why = f"{who} did not come within {self._start:g} s"
                self._tell({"failed": f"{why}: start them at the same time, or raise --start_timeout"})
                return
            except (OSError, ValueError, KeyError, TypeError):  # no process of ours
                continue
            with self._lock:
                self._peers[number], self._names[number] = peer, f"process {number} on {host}"
            threading.Thread(target=self._hear, args=(number, lines), daemon=True).start()

    def _answer(self) -> None:
        """Another process: connects, and hears what process 0 says."""
        end, error = time.monotonic() + self._start, "it does not answer"
        while time.monotonic() < end:
            try:
                peer = socket.create_connection(self._address, timeout=min(self._silent, 5.0))
                break
            except OSError as refused:
                error = refused.strerror or str(refused)
                time.sleep(_RETRY_SECONDS)
        else:
            why = f"{self._names[0]} was not reached within {self._start:g} s ({error})"
            self.news.put({"failed": f"{why}: is it started, is --coordinator its address, the next port free?"})
            return
        peer.settimeout(self._silent)
        with self._lock:
            self._peers[0] = peer
        self._send({"here": self._id})
        self._hear(0, peer.makefile("r"))

    def _hear(self, number: int, lines: Any) -> None:
        try:
            for line in lines:
                said = json.loads(line)
                if "done" in said:
                    self._done.add(number)
                if "failed" in said or "stopped" in said:
                    if self._id == 0 and "failed" in said:
                        said["failed"] = f"{self._names[number]}: {said['failed']}"
                    self._tell(said, besides=number)
        except TimeoutError:
            why = f"{self._names[number]} has said nothing for {self._silent:g} s"
            self._tell({"failed": f"{why}: its machine or the network is gone"}, besides=number)
            return
        except (OSError, ValueError):
            pass
        if number not in self._done:
            self._tell({"failed": f"{self._names[number]} is gone: it was killed, or its machine is down"}, number)

    def _tell(self, said: dict[str, Any], besides: int | None = None) -> None:
        """Notes it here, and process 0 passes it on."""
        if self._id == 0:
            self._send(said, besides)
        self.news.put(said)

    def _send(self, what: dict[str, Any], besides: int | None = None) -> None:
        line = json.dumps(what).encode() + b"\n"
        with self._lock:
            for number, peer in self._peers.items():
                if number != besides:
                    with contextlib.suppress(OSError):  # whoever hears it will say that it is gone
                        peer.sendall(line)

    def _stay_alive(self) -> None:
        while True:
            time.sleep(self._silent / 4)
            self._send({"alive": self._id})
