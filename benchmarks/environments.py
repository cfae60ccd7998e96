"""Environments of their own for the packages that effjax is compared with, which it does not need."""

import subprocess
import venv
from pathlib import Path

_CACHE = Path(__file__).parents[1] / ".cache"


def environment(name: str, *packages: str) -> Path | None:
    """The Python of an environment that has packages, made if it is not there; None where it cannot be made."""
    folder = _CACHE / name
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            print(f"  … installing {', '.join(packages)} into {folder}, once", flush=True)
            venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)  # at once if they are there
    except (subprocess.CalledProcessError, OSError):
        print(f"not measured, for they could not be installed: {', '.join(packages)}", flush=True)
        return None
    return python
