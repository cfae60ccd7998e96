"""Stops every recipe at every file operation, and again when it goes on, and compares what it ends with byte for byte.

  python -m tests.faults.campaign --results=results/faults.md              # all: about 1,000 stops
  python -m tests.faults.campaign --only=chain,active --every=50           # a sample

Each of a recipe's file operations (an audit hook counts them) is once the last before ``kill -9``, once that at which
SIGTERM arrives, and once the first for which the disk is full. The same command then goes on, is stopped once more at
an operation that is drawn, and goes on to its end. What is there then must be what a run that was never stopped leaves;
SIGTERM must end with code 75, a full disk with one line. Goes on where it was stopped itself (--state).
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from effjax.files import read_json, write_json, write_text
from effjax.reports.provenance import provenance
from tests.faults.stopper import HOWS

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))  # as pytest has it
processes = importlib.import_module("processes")

CACHE = REPOSITORY / ".cache"
CONFIGS = "tests/small_configs.py"

#: By recipe, the launcher, its flags, and what of them is written to.
RECIPES = {
    "chain": ("launch.train", f"--config={CONFIGS}:faults"),
    "together": ("launch.train", f"--config={CONFIGS}:faults_together"),
    "active": ("launch.active", f"--config={CONFIGS}:faults_active"),
    "compress": ("launch.compress", f"--config={CONFIGS}:faults_compress"),
    "data": ("launch.data", "--dataset=digits"),
}


def command(recipe: str, folder: Path, data_dir: Path) -> list[str]:
    """A launcher's module and its flags."""
    launcher, given = RECIPES[recipe]
    if recipe == "data":
        return [launcher, given, f"--data_dir={folder}"]
    cache = f"--compilation_cache={CACHE / 'xla'}"
    return [launcher, given, f"--workdir={folder}", f"--config.data.dir={data_dir}", cache]


def run(argv: list[str], folder: Path, at: int, how: str) -> dict[str, Any]:
    """Runs a launcher; returns ``code``, ``count`` (of file operations) and ``said`` (on stderr)."""
    handle, name = tempfile.mkstemp()
    os.write(handle, b"       0")
    os.close(handle)
    process = processes.start("tests.faults.stopped", at, how, name, folder, *argv)
    _, said = process.communicate()
    count = int(Path(name).read_text())
    Path(name).unlink()
    return {"code": process.returncode, "count": count, "said": said}


def digests(folder: Path, path: Path) -> dict[str, str]:
    """What :func:`tests.faults.snapshot.snapshot` finds in a folder, which a process of its own writes to a file."""
    process = processes.start("tests.faults.snapshot", folder, path)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{folder}: {said}")
    return read_json(path)


def sources() -> str:
    """What the code is that is stopped, and compared: outcomes of other code are not counted."""
    digest = hashlib.sha256()
    for path in sorted(path for root in ("effjax", "launch", "tests") for path in (REPOSITORY / root).rglob("*.py")):
        digest.update(str(path.relative_to(REPOSITORY)).encode() + path.read_bytes())
    return digest.hexdigest()


def lineage(recipe: str, at: int, how: str, data_dir: Path, expected: dict, scratch: Path) -> dict:
    """One command, stopped at an operation, stopped once more, and gone on to its end.

    Returns:
      ``stops`` (how many happened), ``wrong`` (what was not as promised, in words).
    """
    folder, draw = scratch / "runs", random.Random(f"{recipe} {at} {how}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    argv, wrong, stops = command(recipe, folder, data_dir), [], 0
    second = (draw.randint(1, expected["count"]), draw.choice(HOWS))
    for number, how_now in ((at, how), second, (0, "kill")):
        ended = run(argv, folder, number, how_now)
        reached = bool(number) and ended["count"] >= number
        stops += reached
        wrong += [f"{how_now} at {number}: {what}" for what in _not_as_promised(ended, how_now, reached)]
        if not reached:
            break
    if ended["code"] == 0:
        found = digests(folder, scratch / "snapshot.json")
        for name in sorted(found.keys() | expected["files"].keys()):
            if found.get(name) != expected["files"].get(name):
                kind = "is left" if name not in expected["files"] else "is missing" if name not in found else "differs"
                wrong.append(f"{name} {kind}")
    return {"recipe": recipe, "at": at, "how": how, "then": second, "stops": stops, "wrong": wrong}


def _not_as_promised(ended: dict[str, Any], how: str, reached: bool) -> Iterator[str]:
    said = ended["said"]
    if "Traceback" in said or "Exception ignored" in said:
        yield f"a traceback: {said[-1500:]}"
    if not reached and ended["code"] != 0:
        yield f"went on, and ended with {ended['code']}: {said[-600:]}"
    elif reached and how != "full" and ended["code"] not in ((-9,) if how == "kill" else (75, 0)):
        yield f"ended with {ended['code']}: {said[-600:]}"
    elif reached and how == "full":
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        if ended["code"] not in (0, 1) or len(errors) != ended["code"]:
            yield f"ended with {ended['code']} and {len(errors)} lines of error: {said[-600:]}"


def campaign(recipes: list[str], every: int, offset: int, hows: list[str], state: Path, data_dir: Path, jobs: int):
    """Yields the outcome of every lineage, those of an earlier call of the same sources first."""
    known_file, known = state / "sources.txt", sources()
    if not known_file.exists() or known_file.read_text() != known:
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir(parents=True)
        known_file.write_text(known)
    processes.nursery()  # before there are threads, of which each would make its own
    for recipe in recipes:
        reference = state / recipe / "reference"
        if not (reference / "expected.json").exists():
            shutil.rmtree(reference, ignore_errors=True)
            argv = command(recipe, reference / "runs", data_dir)
            ended = run(argv, reference / "runs", 0, "kill")
            if ended["code"]:
                raise RuntimeError(f"{recipe}: {ended['said']}")
            files = digests(reference / "runs", reference / "files.json")
            write_json(reference / "expected.json", {"count": ended["count"], "files": files})
        expected = read_json(reference / "expected.json")
        work = [(at, how) for at in range(1 + offset, expected["count"] + 1, every) for how in hows]
        done_file = state / recipe / "done.jsonl"
        done = [json.loads(line) for line in done_file.read_text().splitlines()] if done_file.exists() else []
        known = {(one["at"], one["how"]) for one in done}
        yield from (one for one in done if (one["at"], one["how"]) in work)
        left = [one for one in work if one not in known]
        free = list(range(jobs))

        def one(item, recipe=recipe, expected=expected, free=free):
            number = free.pop()
            try:
                scratch = state / recipe / f"scratch_{number}"
                return lineage(recipe, *item, data_dir, expected, scratch)
            finally:
                free.append(number)

        with ThreadPoolExecutor(jobs) as pool, done_file.open("a") as file:
            for outcome in pool.map(one, left):
                file.write(json.dumps(outcome) + "\n")
                file.flush()
                yield outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(RECIPES), help="recipes")
    parser.add_argument("--how", default=",".join(HOWS), help="kill, term, full")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th operation")
    parser.add_argument("--offset", type=int, default=0, help="which of them first")
    parser.add_argument("--state", type=Path, default=CACHE / "faults", help="where it goes on from")
    parser.add_argument("--data_dir", type=Path, default=CACHE / "test_data")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, help="a Markdown file for the counts")
    given = parser.parse_args()
    from effjax.data.prepare import prepare

    prepare("digits", given.data_dir)
    started, counts, wrong = time.monotonic(), {}, []
    outcomes = campaign(
        *(given.only.split(","), given.every, given.offset, given.how.split(",")),
        *(given.state, given.data_dir, given.jobs),
    )
    for number, outcome in enumerate(outcomes, 1):
        key = outcome["recipe"], outcome["how"]
        lineages, stops, bad = counts.get(key, (0, 0, 0))
        counts[key] = lineages + 1, stops + outcome["stops"], bad + bool(outcome["wrong"])
        for what in outcome["wrong"]:
            wrong.append(f"{outcome['recipe']}, {outcome['how']} at {outcome['at']}, then {outcome['then']}: {what}")
            print(wrong[-1], flush=True)
        if number % 20 == 0:
            stopped = sum(stops for _, stops, _ in counts.values())
            print(f"{stopped} stops, {len(wrong)} wrong, {time.monotonic() - started:.0f} s", flush=True)
            report(counts, wrong, given.every, given.results, so_far=" so far")
    print(report(counts, wrong, given.every, given.results))
    sys.exit(bool(wrong))


def report(counts: dict, wrong: list[str], every: int, results: Path | None, so_far: str = "") -> str:
    """The table of what was done, which is also written where it is wanted."""
    rows = [f"| {recipe} | {how} | {a} | {b} | {c} |" for (recipe, how), (a, b, c) in counts.items()]
    total = [sum(column) for column in zip(*counts.values(), strict=True)]
    head = ["| recipe | stopped by | runs | stops | not as promised |", "| --- | --- | ---: | ---: | ---: |"]
    table = "\n".join([*head, *rows, f"| all{so_far} | | {total[0]} | {total[1]} | {total[2]} |"])
    if results:
        which = "every file operation" if every == 1 else f"a sample: one in {every} file operations"
        text = f"Of each recipe {which}; stopped there, stopped again while it goes on, and compared byte for byte."
        parts = ["# Stopped at file operations", text, table, *wrong]
        write_text(results, "\n\n".join([*parts, *(f"{k}: {v}" for k, v in provenance().items())]) + "\n")
    return table


if __name__ == "__main__":
    main()
