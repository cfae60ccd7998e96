"""Whether loops chase examples of some kind: the share of them among what was asked, beside that in the pool."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from effjax.data.ledger import ASKED, Ledger
from effjax.data.sources import load
from effjax.errors import UserError, check_known
from effjax.recipes.build.folders import shares_of
from effjax.reports.tables import Estimate, Table


def watched_ids(config: Mapping[str, Any]) -> tuple[np.ndarray, float] | None:
    """The global ids of the pool's examples of ``config.active.watch``, and their share of the pool.

    Returns:
      None if nothing is watched.

    Raises:
      UserError: for a class that the dataset does not have.
    """
    data, watch = config["data"], config["active"]["watch"]
    if not watch:
        return None
    if data["pool"]:
        raise UserError(f"config.active.watch={watch!r}: nobody knows the classes of config.data.pool")
    size = data["image_size"] or None
    source = load(data["name"], data["train"], data["dir"], image_size=size, shares=shares_of(data))
    by = config["active"]["watch_by"]
    known = {"label": source.info.class_names, **source.info.names}
    check_known(by, known, f"config.active.watch_by={by!r}: {data['name']} has no such feature with names")
    names = known[by]
    for name in watch:
        check_known(name, names, f"config.active.watch: no class {name!r}")
    found = np.isin(source.column(by), [names.index(name) for name in watch])
    return source.ids()[found], float(found.mean())


def watched_table(
    ledgers: Mapping[str, Sequence[tuple[int, Ledger]]], ids: np.ndarray, labels: Mapping[str, str], control: str | None
) -> Table:
    """One row a run: the share of watched examples among what was asked after the first round, which is random.

    Args:
      ledgers: by run, of each seed.
      ids: the watched examples.
      labels: what the table calls the runs.
      control: the run that others are compared with.
    """
    shares = {
        name: [{"seed": seed, "share": _share(ledger, ids)} for seed, ledger in runs] for name, runs in ledgers.items()
    }
    shares = {name: [one for one in seeds if one["share"] is not None] for name, seeds in shares.items()}
    rows = []
    for name, seeds in shares.items():
        if not seeds:
            continue
        difference = ""
        if control in shares and name != control:
            difference = Estimate.paired(seeds, shares[control], "share").percent("+")
        rounds = _by_round([ledger for _, ledger in ledgers[name]], ids)
        rows.append((labels[name], Estimate.over_seeds(seeds, "share").percent(), difference, rounds))
    return Table(("run", "share of what was asked", "Δ", "by round, %"), rows)


def _by_round(ledgers: Sequence[Ledger], ids: np.ndarray) -> str:
    """The share in each round after the first, the mean over the loops that have come so far."""
    rounds: dict[int, list[float]] = {}
    for ledger in ledgers:
        for round_ in range(1, ledger.round + 1):
            if asked := ledger.asked_in(round_):
                rounds.setdefault(round_, []).append(float(np.isin(asked, ids).mean()))
    return " ".join(f"{100 * np.mean(shares):.0f}" for _, shares in sorted(rounds.items()))


def _share(ledger: Ledger, ids: np.ndarray) -> float | None:
    asked = [entry.id for entry in ledger.entries if entry.event == ASKED and entry.round > 0]
    return float(np.isin(asked, ids).mean()) if asked else None
