"""What ``pip install`` makes of the repository: a wheel, installed into an environment of its own, and the command."""

import os
import pathlib
import shutil
import signal
import site
import subprocess
import sys
import time
import venv

import pytest

from effjax import __version__
from launch.__main__ import LAUNCHERS

REPOSITORY = pathlib.Path(__file__).parents[2]
SOURCES = ("effjax", "launch", "LICENSE", "README.md", "pyproject.toml", "setup.py")


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> pathlib.Path:
    """The command ``effjax`` of an environment that has the wheel, and besides what this one has, but no clone."""
    source, home = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("home")
    for path in [*map(REPOSITORY.joinpath, SOURCES), *REPOSITORY.glob("requirements*.txt")]:
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / path.name)
    build = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = source.glob("*.whl")
    venv.create(home, with_pip=False)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text("\n".join(site.getsitepackages()))
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return home / "bin" / "effjax"


def start(command: pathlib.Path, folder: pathlib.Path, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(command), *arguments], cwd=folder, env=environment, **pipes)


def test_the_command(command, tmp_path):
    """Started side by side: each takes the seconds of an import."""
    started = {
        given: start(command, tmp_path, *given.split())
        for given in (
            "",
            "--help",
            "--version",
            "trian",
            "train",
            "train --help",
            "train trian",
            "data --dataset=cifar10",
        )
    }
    ended = {given: (*process.communicate(timeout=240), process.returncode) for given, process in started.items()}
    out, err, code = ended["--help"]
    assert (err, code) == ("", 0)
    assert [line.split()[1] for line in out.splitlines() if line.startswith("  effjax ")] == list(LAUNCHERS)
    assert ended[""] == ("", out, 1)
    assert ended["--version"] == (f"effjax {__version__}\n", "", 0)
    allowed = ", ".join(sorted(LAUNCHERS))
    assert ended["trian"] == (
        "",
        f"error: there is no command 'trian'; allowed: {allowed} (did you mean 'train'?)\n",
        1,
    )
    assert ended["train"] == ("", "error: --config is missing; see --help\n", 1)
    assert ended["train trian"] == ("", "error: 'trian' is not a flag; see --help\n", 1)
    out, err, code = ended["train --help"]
    assert (err, code) == ("", 0)
    assert out.startswith("Runs an experiment: effjax train --config=")
    assert "--workdir" in out
    _, err, code = ended["data --dataset=cifar10"]
    assert code == 1
    assert "if you may, run: effjax data --dataset=cifar10" in err


def test_a_signal_ends_it_as_it_ends_the_launchers(command, tmp_path):
    """While a config runs, that imports what lies beside it."""
    (tmp_path / "beside.py").write_text(
        "import pathlib, time\ndef wait():\n  pathlib.Path('here').touch()\n  time.sleep(99)"
    )
    (tmp_path / "config.py").write_text("import beside\ndef get_config():\n  beside.wait()")
    process = start(command, tmp_path, "train", "--config=config.py", "--workdir=run")
    while not (tmp_path / "here").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=240)
    assert (out, process.returncode) == ("", 75)
    assert err == "stopped by SIGTERM; what is done is saved; run the same command to go on\n"


def test_every_launcher_is_a_command():
    """A launcher is a module that ends by running its main function."""
    modules = {path.stem for path in (REPOSITORY / "launch").glob("*.py") if "cli.run(main" in path.read_text()}
    assert set(LAUNCHERS) == modules
