"""What a folder of runs holds, but for what may differ: times, speeds, and names that are drawn."""

import hashlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from effjax.files import write_json
from effjax.runtime import checkpoints as stored

# Times of day, seconds, the machine; and checksums of lines that hold them.
_MAY_DIFFER = ("when", "clock", "sum", "check", "machine", "metrics", "hashes", "seal", "seconds", "facts")
_MAY_DIFFER += ("latency", "milliseconds", "command", "run")
_TIMED = ("ms,", "ms ×", "faster")  # headers of a table's columns
_NOT_COMPARED = re.compile(r"(^|/)(events|\.lock[^/]*|[^/]*\.(png|html|lock))(/|$)")
_PROVENANCE = re.compile(r"^(command|hardware|versions): ")


def snapshot(folder: Path) -> dict[str, str]:
    """By path relative to the folder, a digest of what the file says. Pictures and pages count as there or not.

    A checkpoint counts as four: ``…/checkpoints/12/params``, ``model`` (with it all that predicts), ``training`` (the
    optimiser's state, step, records) and ``notes``.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            if path.parent.name == "checkpoints" and path.name.isdigit():
                found |= {f"{name}/{part}": digest for part, digest in _checkpoint(path).items()}
        elif "/checkpoints/" in f"/{name}" or re.search(r"(^|/)events/|\.cut-\d+$", name):
            continue
        elif _NOT_COMPARED.search(name):
            found[name] = "there"
        else:
            found[name] = _file(path)
    return found


def _checkpoint(path: Path) -> dict[str, str]:
    if not (path / "model" / "_METADATA").exists():
        return {"model": "half deleted"}
    with ocp.StandardCheckpointer() as reader:
        model, training = (reader.restore(path / item) for item in ("model", "training"))
    notes = _steady(dict(stored.read_meta(path.parent, int(path.name))))
    arrays = {"params": model["params"], "model": model, "training": training}
    found = {part: _tree(tree) for part, tree in arrays.items()}
    return found | {"notes": hashlib.sha256(json.dumps(notes, sort_keys=True).encode()).hexdigest()}


def _tree(tree: Any) -> str:
    digest = hashlib.sha256()
    for name, leaf in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(jax.tree_util.keystr(name).encode() + np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _file(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".json" and path.name != "metrics.json":
        data = json.dumps(_steady(json.loads(data)), sort_keys=True).encode()
    elif path.name == "ledger.jsonl":
        lines = [_steady(json.loads(line)) for line in data.splitlines()]
        data = json.dumps(lines, sort_keys=True).encode()
    elif path.suffix == ".md":
        data = "\n".join(line for line in _untimed(data.decode()) if not _PROVENANCE.match(line)).encode()
    elif path.suffix == ".npz":  # a zip holds the time of day
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            data = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files))
    return hashlib.sha256(data).hexdigest()


def _untimed(text: str) -> Iterator[str]:
    """The lines of a Markdown file, without a table's columns of times."""
    kept: list[bool] = []
    for line in text.splitlines():
        cells = line.split(" | ")
        if len(cells) == 1:
            kept = []
        elif not kept:
            kept = [not cell.startswith(_TIMED) for cell in cells]
        yield " | ".join(cell for cell, keep in zip(cells, kept, strict=True) if keep) if kept else line


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _steady(one) for key, one in value.items() if key not in _MAY_DIFFER}
        return {_first_name(key, "best_step" in kept): one for key, one in kept.items()}
    return [_steady(one) for one in value] if isinstance(value, list) else value


def _first_name(key: str, of_run: bool) -> str:
    """What a metric of a split was called by the version that records to compare with are of."""
    if of_run and key in ("test/ece", "test/nll"):
        return key.removeprefix("test/")
    return re.sub(r"^(test|validation)/", r"\1_", key)


if __name__ == "__main__":
    write_json(sys.argv[2], snapshot(Path(sys.argv[1])))
