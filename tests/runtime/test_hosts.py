"""How processes find one another."""

import http.server
import os
import subprocess
import sys
import threading

import jax
import pytest

from effjax.errors import UserError
from effjax.runtime import hosts

CLUSTER = ("SLURM_", "TPU_", "MEGASCALE_", "KUBERNETES_")


@pytest.fixture
def joined(monkeypatch):
    """The arguments of the calls that would join other processes; the environment is no cluster's."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: calls.append(args))
    for name in os.environ:
        if name.startswith(CLUSTER):
            monkeypatch.delenv(name)
    return calls


def test_alone(joined):
    hosts.initialize()
    assert joined == []
    assert hosts.is_primary()


def test_by_the_flags(joined):
    hosts.initialize("10.0.0.1:1234", 4, 0)
    assert joined == [("10.0.0.1:1234", 4, 0)]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"coordinator": "a:1"}, "--num_processes, --process_id"),
        ({"num_processes": 2}, "--coordinator, --process_id"),
        ({"coordinator": "a:1", "num_processes": 2}, "--process_id"),
        ({"process_id": 0}, "--coordinator, --num_processes"),
    ],
)
def test_some_of_the_flags(joined, given, missing):
    with pytest.raises(UserError, match=f"needs all three flags; missing: {missing}$"):
        hosts.initialize(**given)
    assert joined == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("abc", 2, 0), "--coordinator=abc must be host:port"),
        (("a:99999", 2, 0), "--coordinator=a:99999 must be host:port of process 0, with a port from 1 to 65534"),
        (("a:1", 2, 2), "--process_id=2 must be from 0 to 1"),
        (("a:1", -2, 0), "--num_processes=-2 must be 1 or more"),
    ],
)
def test_flags_that_cannot_be(joined, given, said):
    with pytest.raises(UserError, match=said):
        hosts.initialize(*given)
    assert joined == []


def test_one_slurm_task_is_alone(joined, monkeypatch):
    for name, value in _slurm(0, 1).items():
        monkeypatch.setenv(name, value)
    hosts.initialize()
    assert joined == []


def test_slurm_tasks_find_one_another():
    code = "from effjax.runtime import hosts; hosts.initialize()\n"
    code += "import jax; print(jax.process_index(), jax.device_count())"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTER)}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    tasks = [
        subprocess.Popen([sys.executable, "-c", code], env={**environment, **_slurm(task, 2)}, **pipes)
        for task in range(2)
    ]
    answers = [task.communicate(timeout=120) for task in tasks]
    assert [out.split() for out, _ in answers] == [["0", "4"], ["1", "4"]], answers


def test_a_batch_script_without_srun_is_alone(joined, monkeypatch):
    for name, value in _slurm(0, 8).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    hosts.initialize()
    assert joined == []


@pytest.mark.parametrize("name", ["TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES"])
def test_tpu_slice_by_the_environment(joined, monkeypatch, name):
    monkeypatch.setenv(name, "localhost")
    hosts.initialize()
    assert joined == []
    monkeypatch.setenv(name, "host-0,host-1")
    hosts.initialize()
    assert joined == [()]


class Metadata(http.server.BaseHTTPRequestHandler):
    """A Cloud TPU VM's metadata server."""

    hosts = ""

    def do_GET(self):
        known = self.path.endswith("/worker-network-endpoints") and self.headers["Metadata-Flavor"] == "Google"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(self.hosts.encode())

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("endpoints", "several"), [("host-0,host-1", True), ("host-0", False), ("", False)])
def test_tpu_slice_by_its_metadata_server(joined, monkeypatch, endpoints, several):
    monkeypatch.setattr(hosts.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(Metadata, "hosts", endpoints)
    with http.server.HTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_port}")
        hosts.initialize()
        server.shutdown()
    assert joined == ([()] if several else [])
    hosts.initialize()  # nobody answers any more
    assert len(joined) == several


def _slurm(task: int, tasks: int) -> dict[str, str]:
    """What srun tells a task on this machine."""
    return {
        "SLURM_JOB_ID": str(os.getpid()),  # JAX derives the coordinator's port from it
        "SLURM_NTASKS": str(tasks),
        "SLURM_PROCID": str(task),
        "SLURM_LOCALID": str(task),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
    }
