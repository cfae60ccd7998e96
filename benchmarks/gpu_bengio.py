"""How long the whole of Bengio's figure takes on this device; prints one line of JSON.

    python -m benchmarks.gpu_bengio [--processes=4] [--rounds=1]

configs/curriculum/bengio.py with its 20 seeds, from nothing to the table: its runs shared out among processes that use
the device together, then the report. The data must have been prepared (the config says how).
"""

import json
import subprocess
import sys
import tempfile
import time

import jax
from absl import app, flags

from configs.curriculum import bengio
from effjax.runtime.machine import processor

_PROCESSES = flags.DEFINE_integer("processes", 4, "that share the runs")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "ignored: it is run once")
_VARIANT = flags.DEFINE_string("variant", "", "of the config")


def main(_):
    config = "configs/curriculum/bengio.py" + (f":{_VARIANT.value}" if _VARIANT.value else "")
    names = list(bengio.get_config(_VARIANT.value).table)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "launch.train", f"--config={config}", f"--workdir={folder}/bengio"]
        command.append(f"--compilation_cache={folder}/programs")  # nothing is compiled beforehand
        start = time.perf_counter()
        shares = [names[i :: _PROCESSES.value] for i in range(_PROCESSES.value)]
        started = [subprocess.Popen([*command, f"--only={','.join(share)}"]) for share in shares if share]
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit(f"{command} ended with {codes}")
        trained = time.perf_counter() - start
        subprocess.run(command, check=True, stdout=sys.stderr)
        whole = time.perf_counter() - start
    report = {"device": jax.devices()[0].device_kind, "processor": processor(), "jax": jax.__version__}
    report |= {"runs": len(names), "processes": len(started), "trained": trained, "whole": whole}
    print(json.dumps(report))


if __name__ == "__main__":
    app.run(main)
