"""What is watched among what was asked: shares by run and by round, the first of which is drawn at random."""

import numpy as np

from effjax.data.ledger import LABELLED, Ledger
from effjax.recipes.active.watch import watched_table


def ledger(path, *rounds):
    made, when = Ledger(path, {"loop": path.name}), "2026-01-01T00:00:00Z"
    for number, ids in enumerate(rounds):
        made.ask(number, ids, [None] * len(ids), when)
        made.answer([(id_, LABELLED, 0) for id_ in ids], "ann", when)
    return made


def test_shares_of_what_was_asked_and_how_far_they_are_from_the_controls(tmp_path):
    watched = np.array([1, 2, 3, 50])
    ledgers = {
        "chance": [
            (0, ledger(tmp_path / "a", [4, 2], [10, 1], [11, 12])),  # 1 of 4
            (1, ledger(tmp_path / "b", [3, 50], [10, 11], [12, 13])),  # none
        ],
        "hard": [
            (0, ledger(tmp_path / "c", [9, 8], [1, 2], [3, 4])),  # 3 of 4
            (1, ledger(tmp_path / "d", [9, 8], [1, 20], [21, 22])),  # 1 of 4
        ],
        "waiting": [(0, ledger(tmp_path / "e", [1, 2]))],
    }
    labels = {"chance": "by chance", "hard": "the hardest", "waiting": "not yet"}
    table = watched_table(ledgers, watched, labels, "chance")
    assert list(table.headers) == ["run", "share of what was asked", "Δ", "by round, %"]
    chance, hard = table.rows
    assert tuple(chance) == ("by chance", "12.50 ± 17.68 %", "", "25 0")
    assert tuple(hard)[:2] == ("the hardest", "50.00 ± 35.36 %")
    assert tuple(hard)[2].startswith("+37.50 ± ")
    assert tuple(hard)[3] == "75 25"
    alone = watched_table({"hard": ledgers["hard"]}, watched, labels, None)
    assert tuple(alone.rows[0])[2] == ""
