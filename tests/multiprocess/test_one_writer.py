"""Of the processes of a distributed run the first holds the folders, and all learn what it was told."""

import pathlib
import signal
import socket
import time

import numpy as np
from processes import finish, train

from effjax.runtime.holders import Holder
from effjax.runtime.locks import LOCK_FILE

CACHED = ("--config.runs.distilled.teachers.teacher.cached=float16", "--config.data.on_device_mib=0")


def launch(workdir, data_dir, *arguments, processes=2):
    if processes == 1:
        return [train("plain", workdir, data_dir, *CACHED, *arguments)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"--coordinator=127.0.0.1:{probe.getsockname()[1]}"
    arguments = (*CACHED, *arguments, coordinator, f"--num_processes={processes}")
    return [train("plain", workdir, data_dir, *arguments, f"--process_id={i}") for i in range(processes)]


def test_the_first_process_holds_the_folder_and_all_others_are_told(tmp_path, data_dir):
    endless = "--config.runs.teacher.steps=1000000"
    first = launch(tmp_path, data_dir, endless)
    try:
        while not (tmp_path / LOCK_FILE).exists():
            assert all(process.poll() is None for process in first)
            time.sleep(0.01)
        holder = Holder.parse((tmp_path / LOCK_FILE).read_bytes())
        parent = pathlib.Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) == first[0].pid  # which watches over it
        for process in launch(tmp_path, data_dir, endless):
            _, err = process.communicate(timeout=200)
            assert process.returncode == 1, err[-2000:]
            assert f"is in use by process {holder.pid} on " in err
            assert "Traceback" not in err
    finally:
        for process in first:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def test_two_processes_stream_the_answers_that_one_computes(tmp_path, data_dir):
    for name, processes in (("two", 2), ("one", 1)):
        for process in launch(tmp_path / name, data_dir, processes=processes):
            finish(process)
    two, one = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "teacher_answers").glob("*/*")}
        for name in ("two", "one")
    )
    assert two.keys() == one.keys() == {"facts.json", "logits.npy", "parts.json"}
    two, one = (np.load(*(tmp_path / name / "teacher_answers").glob("*/logits.npy")) for name in ("two", "one"))
    np.testing.assert_allclose(two, one, rtol=1e-2, atol=1e-2)  # of teachers whose gradients were summed otherwise
    assert not list(tmp_path.rglob(LOCK_FILE))
