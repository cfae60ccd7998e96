"""Asked to stop at moments at which no exception can come through: code 75 all the same, in one line."""

import subprocess
import sys

import pytest
from processes import REPOSITORY

START = "import os, signal, sys, time\nfrom effjax import signals\nsignals.install()\n"
STOP = "os.kill(os.getpid(), signal.SIGTERM)"
WAIT = "\nfor _ in range(200):\n    time.sleep(0.05)\nprint('never heard')\n"

MOMENTS = {
    "while it imports": ("import slow\nprint('imported')", "imported\n"),
    "in what nobody can catch": (
        f"class Gone:\n    def __del__(self):\n        {STOP}\n        time.sleep(0.01)\nGone()\nprint('gone')",
        "gone\n",
    ),
    "before anybody listens": (STOP, ""),
}


def run(code, tmp_path):
    (tmp_path / "slow.py").write_text(f"import os, signal, time\n{STOP}\ntime.sleep(0.2)\n")
    (tmp_path / "program.py").write_text(START + code)
    command = [sys.executable, tmp_path / "program.py"]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("code", "said"), MOMENTS.values(), ids=MOMENTS)
def test_a_signal_is_heard_whenever_it_comes(code, said, tmp_path):
    done = run(code + WAIT, tmp_path)
    assert done.returncode == 75, done.stderr
    assert done.stderr == "stopped by SIGTERM; what is done is saved; run the same command to go on\n"
    assert done.stdout == said


@pytest.mark.parametrize("code", [0, 1])
def test_at_the_very_end_a_signal_changes_nothing(code, tmp_path):
    at_the_end = "class Gone:\n    kill, end = os.kill, (os.getpid(), signal.SIGTERM)\n    def __del__(self):\n        "
    done = run(f"{at_the_end}Gone.kill(*Gone.end)\ngone = Gone()\nsignals.finish({code})\nsys.exit({code})\n", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
