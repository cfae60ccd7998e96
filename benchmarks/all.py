"""Runs benchmarks one after the other, each in a process of its own, and makes one page of all their goals.

    .venv/bin/python -m benchmarks.all [--only=train_step,active] [--page]

Each writes its own page in results/, and refuses to where others compute on this machine; one that fails is said, and
the next begins. ``--page`` alone only collects what there is. Writes results/benchmarks.md: every goal, what was
measured, on which processor, met or not; of several processors, each its own lines. Two to three hours on two CPU
cores.
"""

import argparse
import subprocess
import sys

from benchmarks.pages import RESULTS, all_goals
from effjax.files import write_text

#: By name: the arguments of the module. The quick ones first.
BENCHMARKS = {
    "detection_ap": ("--results=results/detection_ap.md",),
    "loader": (),
    "stream": (),
    "train_step": (),
    "convolutions": (),
    "distill": (),
    "detection": (),
    "curriculum": (),
    "active": ("--results=results/active_speed.md",),
    "compress": (),
    "compress_qwix": ("--only=step",),
    "compress_peers": ("--only=photos",),  # digits wants runs of configs/compress/digits.py:after
}
_HEAD = """\
# What effjax wants to be, and is

`python -m benchmarks.all` runs them, and collects what each page says of its goals. Ratios are of effjax over what is
named, unless said otherwise, in one run on a machine that does nothing else."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="benchmarks, separated by commas")
    parser.add_argument("--page", action="store_true", help="run none, and write the page of what there is")
    given = parser.parse_args()
    names = [] if given.page else given.only.split(",")
    if unknown := {*names} - {*BENCHMARKS}:
        parser.error(f"--only: no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    failed = []
    for name in names:
        print(f"\n{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *BENCHMARKS[name]], check=False).returncode:
            failed.append(name)
    write_text(RESULTS / "benchmarks.md", f"{_HEAD}\n\n{all_goals()}\n")
    print(f"results/benchmarks.md{'; failed: ' + ', '.join(failed) if failed else ''}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
