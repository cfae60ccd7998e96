"""The page of the comparison with Torch-Pruning."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from benchmarks.fine_tuning import BATCH, RATE
from effjax.reports.provenance import provenance
from effjax.reports.tables import Estimate, Table

PEER = "Torch-Pruning"
THEIR_CHOICE, DRAWN = f"{PEER}'s channels, fine-tuned by effjax", "drawn channels, fine-tuned by effjax"
ROWS = ("before pruning", PEER, "effjax", THEIR_CHOICE, DRAWN)


def table(seeds: list[dict]) -> str:
    """A network's rows over its seeds."""
    by_row = {row: [{"seed": one["seed"], **one["rows"][row]} for one in seeds] for row in ROWS}
    lines = []
    for row, several in by_row.items():
        tuned, size = "tuned" in several[0], several[0]
        gains = [
            Estimate.paired(several, by_row[other], "tuned").percent("+") if tuned and row != other else ""
            for other in (PEER, DRAWN)
        ]
        lines.append(
            (
                row,
                Estimate.over_seeds(several, "pruned").percent(),
                Estimate.over_seeds(several, "tuned").percent() if tuned else "",
                *gains,
                f"{size['multiply_adds']:,}",
                f"{size['parameters']:,}",
            )
        )
    heads = ("accuracy", "after fine-tuning", f"Δ to {PEER}", "Δ to drawn channels", "multiply-adds", "parameters")
    return Table(("channels", *heads), lines).markdown()


def write(path: Path, found: Mapping[str, list[dict]], padded: str, given: argparse.Namespace) -> None:
    facts, every = provenance(), [one for seeds in found.values() for one in seeds]
    epochs = f"{given.epochs[0]} epochs of training, {given.epochs[1]} of fine-tuning"
    text = [_HEAD.format(epochs=epochs, batch=BATCH, rate=RATE)]
    for label, seeds in found.items():
        if seeds:
            same = sum(one["same"] for one in seeds)
            text += [f"## {label}, {len(seeds)} seeds", table(seeds)]
            text.append(f"Both kept the very same channels of {same} of the {len(seeds)} networks.")
    text.append(
        f"The same weights give there the logits that they give here, to {max(one['difference'] for one in every):.0e}."
        f" A ResNet-20 with parameter-free shortcuts (option A): {padded}."
    )
    done = " ".join(str(len(seeds)) for seeds in found.values())
    text.append(f"- command: `python -m benchmarks.compress_pruning --seeds {done}`\n- hardware: {facts['hardware']}")
    path.write_text("\n\n".join(text) + f"\n- {facts['versions']}; {every[0]['versions']}\n")


_HEAD = """\
# Half of the channels, beside Torch-Pruning

`python -m benchmarks.compress_pruning` wrote this. ResNets with projections on digits (3,500 images to train, 1,000 to
test): {epochs}, each with Adam from {rate} along a cosine to 0, batches of {batch}, the
last state. Torch-Pruning: MagnitudePruner, GroupMagnitudeImportance (p=2), ratio 0.5, local, rounded to 8, the
classifier's outputs kept, fine-tuned in PyTorch. Both begin with the same weights and read the same batches. Accuracy
on the test split: mean ± standard deviation; Δ of the accuracy after fine-tuning: by seed, ± half its 95 % interval."""
