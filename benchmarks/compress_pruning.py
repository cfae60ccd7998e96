"""Half of the channels: effjax's choice beside Torch-Pruning's, of the same weights, after the same fine-tuning.

    .venv/bin/python -m benchmarks.compress_pruning [--seeds 10 5] [--data_dir=data] [--peers=PYTHON]

For every seed a ResNet with projections (option B) is trained on digits. The very same weights go to Torch-Pruning in
a process of its own, in an environment of its own: half of the channels are removed there and here, and both go on with
the same number of steps, optimiser, schedule, batches and no augmentation. Beside them: Torch-Pruning's channels,
fine-tuned here, which tells the choice from the framework; and channels that are drawn. What a seed gave lies in
--workdir and is not done again. Writes results/compress_pruning.md. About an hour on one core.
"""

import argparse
import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from benchmarks.compress_pruning_table import DRAWN, PEER, THEIR_CHOICE, write
from benchmarks.environments import environment
from benchmarks.fine_tuning import RATE, Examples, Training, digits, order
from benchmarks.train_step import measure
from effjax import models
from effjax.pruning import channel_counts, channel_importance, most_important, remove_channels

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("torch==2.13.0", "torch-pruning==1.6.1", "numpy")
_NETWORKS = {"ResNet-8 (B)": ("resnet8", 1), "ResNet-20 (B)": ("resnet20", 3)}  # by label the model, blocks a stage
_SHAPE = (28, 28, 1)
_SAME_LOGITS = 1e-4


@functools.cache
def training(name: str, keep: float, steps: int) -> Training:
    """Compiled once for all seeds."""
    whole = models.create(name, 10, shortcut="projection")
    return Training(whole if keep == 1 else models.Narrow(whole, keep), steps)


def measured(label: str, seed: int, epochs: Sequence[int], python: Path, data: Mapping[str, Examples]) -> dict:
    """What a seed gives: by row, accuracies, multiply-adds and parameters."""
    (name, depth), (train, test) = _NETWORKS[label], (data["train"], data["test"])
    first, second = (order(2 * seed + i, epochs[i], len(train.label)) for i in range(2))
    whole, narrow = training(name, 1, len(first)), training(name, 0.5, len(second))
    variables = whole.train(whole.drawn(seed), train, first).eval_variables
    logits = whole.logits(variables, test)
    given = {"depth": depth, "shortcut": "projection", "rate": RATE, "order": second, "logits": logits}
    theirs, chosen = torch_pruning(python, given, variables, data)
    if theirs["difference"] > _SAME_LOGITS:
        raise SystemExit(f"{label}, seed {seed}: the same weights, but logits are {theirs['difference']} apart")
    whole_costs, narrow_costs = costs(whole, variables), costs(narrow, chosen)
    if theirs["whole_multiply_adds"] != whole_costs["multiply_adds"] or any(
        theirs[key] != value for key, value in narrow_costs.items()
    ):
        raise SystemExit(f"{label}, seed {seed}: networks of different sizes: {theirs}, {whole_costs}, {narrow_costs}")

    def tuned(few: Mapping[str, Any]) -> dict:
        after = narrow.train(narrow.given(few), train, second).eval_variables
        return {"pruned": narrow.accuracy(few, test), "tuned": narrow.accuracy(after, test), **narrow_costs}

    ours = pruned(whole.module, variables)
    same = all(np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (ours, chosen)), strict=True))
    rows = {"before pruning": {"pruned": float((logits.argmax(1) == test.label).mean()), **whole_costs}}
    rows[PEER] = {key: theirs[key] for key in ("pruned", "tuned", *narrow_costs)}
    rows["effjax"] = tuned(ours)
    rows[THEIR_CHOICE] = rows["effjax"] if same else tuned(chosen)
    rows[DRAWN] = tuned(pruned(whole.module, variables, np.random.default_rng(seed)))
    return {"rows": rows, "same": same, "difference": theirs["difference"], "versions": theirs["versions"]}


def costs(of: Training, variables: Mapping[str, Any]) -> dict[str, int]:
    count = models.count_params(variables["params"])
    return {"multiply_adds": round(models.flops(of.module, _SHAPE) / 2), "parameters": count}


def pruned(module: Any, variables: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, Any]:
    """The variables with half of the channels: those that matter most, or with a generator any."""
    groups = models.channel_groups(models.deploy(module, variables, _SHAPE))
    kept = [
        most_important(channel_importance(variables["params"], group), count)
        if rng is None
        else np.sort(rng.permutation(group.size)[:count])
        for group, count in zip(groups, channel_counts(groups, 0.5), strict=True)
    ]
    return {name: remove_channels(tree, groups, kept) for name, tree in variables.items()}


def torch_pruning(
    python: Path, given: Mapping[str, Any], variables: Mapping[str, Any], data: Mapping[str, Examples]
) -> tuple[dict, dict[str, Any]]:
    """What Torch-Pruning makes of weights: what it measures, and the weights that it leaves."""
    sent = {**given, **traverse_util.flatten_dict(jax.tree.map(np.asarray, dict(variables)), sep="/")}
    for split, examples in data.items():
        sent |= {f"{split}_images": examples.normalised, f"{split}_labels": examples.label}
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("given.npz", "found.npz")]
        np.savez(files[0], **sent)
        found = measure([str(python), "-m", "benchmarks.compress_torch_pruning", *files])
        if "failed" in found:
            return found, {}
        with np.load(files[1]) as file:
            return found, traverse_util.unflatten_dict(dict(file), sep="/")


def option_a(python: Path, data: Mapping[str, Examples]) -> str:
    """What becomes there of a ResNet with shortcuts that have no parameters."""
    padded = Training(models.create("resnet20", 10), 1)
    variables = padded.drawn(0).eval_variables
    given = {
        "depth": 3,
        "shortcut": "pad",
        "rate": RATE,
        "order": order(0, 1, len(data["train"].label))[:1],
        "logits": padded.logits(variables, data["test"]),
    }
    found, _ = torch_pruning(python, given, variables, data)
    if found["difference"] > _SAME_LOGITS:
        raise SystemExit(f"option A: the same weights, but logits are {found['difference']} apart")
    few = Training(models.Narrow(padded.module, 0.5), 1)
    assert np.isfinite(few.logits(pruned(padded.module, variables), data["test"])).all()
    ours, whole = (round(models.flops(one.module, _SHAPE) / 2) for one in (few, padded))
    theirs = f"stops with `{found['failed']}`" if "failed" in found else f"makes {found['multiply_adds']:,} of them"
    return f"of its {whole:,} multiply-adds effjax makes {ours:,}; {PEER} {theirs}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(10, 5), help=f"of {' and '.join(_NETWORKS)}")
    parser.add_argument("--epochs", type=int, nargs=2, default=(8, 5), help="of training, and of fine-tuning")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--peers", type=Path, help=f"a Python that has {', '.join(_PACKAGES)}; one is made without it")
    parser.add_argument("--workdir", type=Path, default=_ROOT / "runs" / "compress_pruning")
    parser.add_argument("--results", type=Path, default=_ROOT / "results" / "compress_pruning.md")
    given = parser.parse_args()
    python = given.peers or environment("peers_pruning", *_PACKAGES)
    if python is None:
        raise SystemExit("there is nothing to compare with")
    data = {split: digits(split, given.data_dir) for split in ("train", "test")}
    padded = option_a(python, data)
    print(f"option A: {padded}", flush=True)
    found: dict[str, list[dict]] = {label: [] for label in _NETWORKS}
    folder = given.workdir / "-".join(map(str, given.epochs))
    folder.mkdir(parents=True, exist_ok=True)
    for (label, (name, _)), seeds in zip(_NETWORKS.items(), given.seeds, strict=True):
        for seed in range(seeds):
            file = folder / f"{name}_{seed}.json"
            if not file.exists():
                one = measured(label, seed, given.epochs, python, data)
                file.write_text(json.dumps({"seed": seed, **one}))
            found[label].append(json.loads(file.read_text()))
            print(f"{label}, seed {seed}: {found[label][-1]['rows']}", flush=True)
            write(given.results, found, padded, given)  # so that a run that is stopped leaves what it has measured


if __name__ == "__main__":
    main()
