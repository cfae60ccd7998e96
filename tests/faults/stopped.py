"""Runs a launcher that stops at one of its file operations.

python -m tests.faults.stopped AT HOW COUNT_FILE FOLDER launch.train FLAGS…
"""

import runpy
import sys
from pathlib import Path

from effjax import signals
from tests.faults.stopper import Stopper

if __name__ == "__main__":
    at, how, count, folder, module, *flags = sys.argv[1:]
    Stopper([Path(folder)], int(at), how, Path(count)).install()
    sys.argv, sys.orig_argv = ["-m", *flags], [sys.executable, "-m", module, *flags]
    signals.install()  # the first operation may come before the launcher does
    runpy.run_module(module, run_name="__main__", alter_sys=True)
