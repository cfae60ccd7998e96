"""What the checksums of a run cost: the CPU seconds within SHA-256, beside all CPU seconds of the run.

    .venv/bin/python -m benchmarks.hashing [--config=configs/distill/quickstart.py] [--data_dir=data]

Trains an experiment once, in this process, with every ``hashlib.sha256`` timed: of checkpoints (written and read), of
results, of teachers' answers. Writes results/hashing.md.
"""

import argparse
import hashlib
import importlib
import tempfile
import time
from pathlib import Path

from effjax.recipes.train import experiment
from effjax.reports.provenance import provenance
from effjax.reports.tables import Table

_ROOT = Path(__file__).parents[1]
_PLAIN = hashlib.sha256


class TimedHash:
    """SHA-256 that adds up the CPU seconds and the bytes of all its instances."""

    seconds = 0.0
    num_bytes = 0

    def __init__(self, data=b""):
        self._hash = _PLAIN()
        self.update(data)

    def update(self, data) -> None:
        begun = time.thread_time()
        self._hash.update(data)
        TimedHash.seconds += time.thread_time() - begun
        TimedHash.num_bytes += memoryview(data).nbytes

    def digest(self) -> bytes:
        return self._hash.digest()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/distill/quickstart.py")
    parser.add_argument("--data_dir", default="data")
    given = parser.parse_args()
    module = importlib.import_module(given.config.removesuffix(".py").replace("/", "."))
    config = module.get_config()
    config.data.dir = given.data_dir
    hashlib.sha256 = TimedHash
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        experiment.main(config.to_dict(), folder)
    whole = time.process_time() - begun
    share = f"{100 * TimedHash.seconds / whole:.3f} %"
    row = (given.config, f"{TimedHash.num_bytes / 2**20:.0f}", f"{TimedHash.seconds:.2f}", f"{whole:.0f}", share)
    table = Table(("experiment", "MiB hashed", "CPU seconds of it", "CPU seconds in all", "share"), [row])
    lines = [
        "# What checksums cost",
        "",
        table.markdown(),
        "",
        *[f"{key}: {value}" for key, value in provenance().items()],
    ]
    (_ROOT / "results" / "hashing.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
