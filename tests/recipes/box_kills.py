"""Kills itself at each file operation of asking for boxes and of taking them over: python box_kills.py FOLDER."""

import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from effjax.data.ledger import Ledger
from effjax.recipes.active.oracles import CocoOracle, Proposed, Query
from effjax.tasks.box_answers import BoxAnswers

IDS = (5, 2, 9)
BOX = {"box": [0.25, 0.1, 0.5, 0.6], "class": "cat"}
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def killed_at(at: int, work: Callable[[], None], folder: Path) -> bool:
    """Does the work in a process that is killed before its file operation of that number; whether it was."""
    if child := os.fork():
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = [at]

    def count(event, arguments):
        if event in OPERATIONS and str(folder) in str(arguments[0]):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    work()
    os._exit(0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main(folder: Path) -> None:
    oracle = CocoOracle(folder / "queries", BoxAnswers(("cat", "dog")))
    pixels = np.zeros((20, 40, 3), np.uint8)
    proposed = Proposed([BOX], [0.5], "mine, round 0")
    queries = [Query(id_, None, lambda: pixels, "a.jpg", proposed=proposed) for id_ in IDS]
    ledger = Ledger(folder / "ledger.jsonl", {})
    ledger.ask(1, IDS, [None] * 3, "2026-01-01")
    start = contents(folder)

    def ask() -> None:
        oracle.ask(1, queries)

    def take_over() -> None:
        own = Ledger(folder / "ledger.jsonl", {})
        own.answer(oracle.answers(1, IDS, own.open()), "ann", "2026-01-02")

    ask()
    asked = contents(folder)
    asks = 1
    while True:
        shutil.rmtree(folder / "queries")
        if not killed_at(asks, ask, folder):
            break
        assert contents(folder).keys() <= {*start, *asked} or (folder / "queries" / "round_01.partial").exists()
        ask()
        assert contents(folder) == asked, asks
        asks += 1

    path = folder / "queries" / "round_01" / "annotations.json"
    page = json.loads(path.read_text())
    for one in page["annotations"]:
        one["bbox"] = [0, 0, 20, 20]
    path.write_text(json.dumps(page))
    before = contents(folder)["ledger.jsonl"]
    take_over()
    after = contents(folder)["ledger.jsonl"]
    takes = 1
    while True:
        (folder / "ledger.jsonl").write_bytes(before)
        killed = killed_at(takes, take_over, folder)
        assert (folder / "ledger.jsonl").read_bytes() in (before, after)
        if not killed:
            break
        if Ledger(folder / "ledger.jsonl", {}).open():
            take_over()
        assert (folder / "ledger.jsonl").read_bytes() == after
        takes += 1
    assert Ledger(folder / "ledger.jsonl", {}).labels().keys() == set(IDS)
    print(asks - 1, takes - 1)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # JAX warns of forks; nothing of it runs here
    main(Path(sys.argv[1]))
