"""Runs that the code of another checkout has begun, and that the code here ends."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from effjax.runtime import EXIT_INTERRUPTED
from tests.faults.snapshot import snapshot
from tests.same_bits.experiments import Named, small
from tests.same_bits.record import command, differences, environment

#: A chain with two stages and stored answers, seeds that train together, and a labelling loop.
HALVES = {
    "chain": small("kill", "--config.runs.distilled.teachers.teacher.cached=float32"),
    "together": small("faults_together", "--config.runs.student.steps=240", "--config.runs.student.evaluations=24"),
    "active": small("active"),
}
SHARES = (0.25, 0.5, 0.75)  # of the lines that a run writes: where it is stopped


def halves(before: Path, after: Path, work: Path, data: Path) -> bool:
    """Stops each run of ``before`` at some moments, goes on with ``after``, and says what is not as undisturbed."""
    shutil.rmtree(work, ignore_errors=True)
    wrong = []
    for name, named in HALVES.items():
        whole = work / name / "whole"
        _finish(before, named, whole, data)
        expected = snapshot(whole)
        for share in SHARES:
            folder = work / name / f"stopped_{share}"
            _stop(before, named, folder, data, lines=int(share * _lines(whole)))
            reached = _lines(folder)
            _finish(after, named, folder, data)
            found = list(differences(expected, snapshot(folder)))
            wrong += [f"{name} at {share}: {what}" for what in found]
            print(f"{name}: stopped at {reached} of {_lines(whole)} lines, {len(found)} differences", flush=True)
    print("\n".join(wrong) or f"the same bits: {len(HALVES) * len(SHARES)} runs that were stopped and gone on with")
    return not wrong


def _lines(folder: Path) -> int:
    """How far a run has come: the lines of its metrics and ledgers."""
    runs = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(f"runs/{depth}")]  # not below checkpoints/
    files = [run / name for run in runs for name in ("metrics.jsonl", "ledger.jsonl") if (run / name).is_file()]
    return sum(path.read_bytes().count(b"\n") for path in files)


def _start(code: Path, named: Named, folder: Path, data: Path) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    env = environment(code, named.devices)
    return subprocess.Popen(command(code, named.commands[0], data), cwd=folder, env=env, **pipes)


def _finish(code: Path, named: Named, folder: Path, data: Path) -> None:
    process = _start(code, named, folder, data)
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(f"{folder}: ended with {process.returncode}: {said[-3000:]}")


def _stop(code: Path, named: Named, folder: Path, data: Path, *, lines: int) -> None:
    """Starts a run, and asks it to stop once so many lines are there."""
    process = _start(code, named, folder, data)
    while process.poll() is None and _lines(folder) < lines:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1]
    if process.returncode != EXIT_INTERRUPTED:
        raise RuntimeError(f"{folder}: asked to stop, it ended with {process.returncode}: {said[-3000:]}")
