"""Shows that a change to the code changes no bit: what experiments leave, before and after.

  python -m tests.same_bits.record --checkout=/path/to/before --out=before.json
  python -m tests.same_bits.record --out=.cache/after.json --compare=tests/same_bits/before.json
  python -m tests.same_bits.record --halves --before=/path/to/before

The first two run every experiment of :mod:`tests.same_bits.experiments` by the launchers of a checkout, and write
hashes of all parameters, metrics, ledgers, tables and arrays. What is in --out is not run again. With --compare each
difference is said, and the exit code is 1 if there are any. Only records of the same machine and versions can be
compared, made by the same tests/faults/snapshot.py on as many cores. With --halves, the code of another checkout
begins, is stopped by SIGTERM, and the code here goes on.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.sources import load
from effjax.files import read_json, write_json
from effjax.reports.provenance import provenance
from effjax.runtime import EXIT_INTERRUPTED
from tests.faults.snapshot import snapshot
from tests.same_bits import photos
from tests.same_bits.experiments import DATASETS, Named, experiments

REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / ".cache"


def command(code: Path, words: tuple[str, ...], data: Path) -> list[str]:
    """A launcher's command line; it is for a folder beside ``photos``."""
    places = {"code": code, "here": Path(__file__).parent, "data": data, "photos": "../photos"}
    cache = f"--compilation_cache={CACHE / 'xla'}"
    return [sys.executable, "-m", *(word.format(**places) for word in words), cache]


def environment(code: Path, devices: int) -> dict[str, str]:
    """What processes of a checkout are started with."""
    return {
        **os.environ,
        "PYTHONPATH": str(code),
        "PYTHONWARNINGS": "ignore",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }


def run(code: Path, named: Named, folder: Path, data: Path) -> dict[str, str]:
    """Runs an experiment in a new folder.

    Returns:
      By name, digests of all that is left, and what the last command printed.

    Raises:
      RuntimeError: if a command fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    said = ""
    for words in named.commands:
        for left in range(named.waits, -1, -1):
            done = subprocess.run(
                command(code, words, data),
                cwd=folder,
                env=environment(code, named.devices),
                capture_output=True,
                text=True,
            )
            if done.returncode != (EXIT_INTERRUPTED if left else 0):
                raise RuntimeError(f"{words} ended with {done.returncode}: {done.stderr[-3000:]}")
            if left and not photos.answer(folder / "runs"):
                raise RuntimeError(f"{words} stopped, and there is nothing to label: {done.stderr[-3000:]}")
        said = done.stdout
    found = {name: digest[:20] for name, digest in snapshot(folder).items() if not _is_drawn(named, name)}
    found |= {f"{split} examples": digest for split, digest in _examples(folder / "prepared")}
    if words[0] == "launch.evaluate":
        found["printed"] = said.strip()
    return found


def _is_drawn(named: Named, file: str) -> bool:
    """Whether runs of the same code differ here: a record's features are in no order, and some tables hold times."""
    return ".array_record-" in file or (file.endswith("table.md") and named.is_timed)


def _examples(prepared: Path) -> Iterator[tuple[str, str]]:
    """By split, a digest of all that a prepared dataset holds."""
    for name in (name for name in DATASETS if (prepared / name).exists()):
        for split in ("train", "validation", "test"):
            digest, source = hashlib.sha256(), load(name, split, prepared)
            for row in range(len(source)):
                for feature, value in sorted(source[row].items()):
                    digest.update(feature.encode() + np.asarray(value).tobytes())
            yield f"{name} {split}", digest.hexdigest()[:20]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """What is not as it was, by name."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name} {'is new' if name not in before else 'is missing' if name not in after else 'differs'}"


def facts(code: Path) -> dict[str, str]:
    """The code that is run, and the machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=code, capture_output=True, text=True).stdout.strip()
    # Whose hashes are compared, by which convention; and on one core XLA cuts its work up otherwise than on two.
    tool = hashlib.sha256((REPOSITORY / "tests" / "faults" / "snapshot.py").read_bytes()).hexdigest()[:16]
    made = {"commit": commit, "cores": len(os.sched_getaffinity(0)), "snapshot": tool}
    return {**made, **{key: value for key, value in provenance().items() if key != "command"}}


def record(code: Path, out: Path, only: list[str], data: Path, jobs: int) -> dict[str, Any]:
    """Runs what is not yet in ``out``; an experiment that fails is said, and left out."""
    found = read_json(out) if out.exists() else {**facts(code), "experiments": {}}
    work, lock = CACHE / "same_bits" / out.stem, threading.Lock()
    shutil.rmtree(work / "photos", ignore_errors=True)
    photos.draw(work / "photos")
    wanted = {name: one for name, one in experiments(code).items() if not only or name in only}

    def one(name: str) -> None:
        try:
            left = run(code, wanted[name], work / name.replace("/", "_").replace(" ", "_").replace(":", "_"), data)
        except RuntimeError as error:
            print(f"{name} FAILED: {error}", flush=True)
            return
        with lock:
            found["experiments"][name] = left
            write_json(out, found)
        cost = sum(os.times()[2:4])  # of all commands so far; what the clock says depends on who else is at work
        print(f"{cost:6.0f} CPU s: {name}, {len(left)} files", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [name for name in wanted if name not in found["experiments"]]))
    return {**found, "experiments": {name: found["experiments"].get(name, {}) for name in wanted}}


def compare(before: Mapping[str, Any], after: Mapping[str, Any], known: Collection[str]) -> bool:
    """Says each difference; returns whether there are none.

    Args:
      before: a record.
      after: a record of as many or fewer experiments.
      known: names of all experiments that the code after can run.
    """
    for key in ("hardware", "versions", "cores", "snapshot"):
        if before.get(key) != after.get(key):
            print(f"not comparable: {key}: {before.get(key)} before, {after.get(key)} after")
            return False
    wrong = [f"{name} cannot be run any more" for name in before["experiments"] if name not in known]
    files = compared = 0
    for name, left in after["experiments"].items():
        if name not in before["experiments"]:
            print(f"{name}: nothing to compare with")
            continue
        files, compared = files + len(left), compared + bool(left)
        wrong += [f"{name}: {what}" for what in differences(before["experiments"][name], left)]
    print("\n".join(wrong) or f"the same bits: {compared} experiments, {files} files")
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=REPOSITORY, help="the code that is run")
    parser.add_argument("--out", type=Path, default=CACHE / "same_bits.json")
    parser.add_argument("--compare", type=Path, help="an earlier --out")
    parser.add_argument("--only", default="", help="names of experiments, separated by commas")
    parser.add_argument("--skip", default="", help="the same, not to be run")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data_dir", type=Path, default=CACHE / "test_data")
    parser.add_argument("--halves", action="store_true", help="begun by --before, ended by --checkout")
    parser.add_argument("--before", type=Path, help="with --halves, the checkout that begins")
    given = parser.parse_args()
    code, data = given.checkout.absolute(), given.data_dir.absolute()
    from effjax.data.prepare import prepare

    for name in DATASETS:
        prepare(name, data)
    if given.halves:
        from tests.same_bits.halves import halves

        sys.exit(not halves(given.before.absolute(), code, CACHE / "same_bits" / "halves", data))
    every, skipped = list(experiments(code)), given.skip.split(",")
    unknown = [name for name in (*given.only.split(","), *skipped) if name and name not in every]
    if unknown:
        parser.error(f"no experiment {unknown[0]!r}; there are {', '.join(every)}")
    only = [name for name in (given.only.split(",") if given.only else every) if name not in skipped]
    after = record(code, given.out.absolute(), only, data, given.jobs)
    failed = [name for name, left in after["experiments"].items() if not left]
    same = compare(read_json(given.compare), after, every) if given.compare else True
    sys.exit(bool(failed) or not same)


if __name__ == "__main__":
    main()
