"""Several processes at one experiment: each folder has one writer, and who needs what another makes waits for it.

A command for the whole experiment holds the experiment's folder, so that a second such command is refused at once.
Commands with ``--only`` do not: any number of them work beside it and beside one another. A run's folder, and a loop's,
is held while the run trains; who comes second does what is free first, then waits, and finds it done or, if its holder
has died, goes on. So several machines that are given the same runs share them.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from effjax.errors import UserError
from effjax.files import partial_of, sweep
from effjax.recipes import schema
from effjax.recipes.build.early_checks import check_results
from effjax.runtime.hosts import is_primary, told
from effjax.runtime.locks import hold, is_held

_TAIL = 1 << 16  # bytes at a file's end, in which its last line lies


@contextlib.contextmanager
def experiment_held(
    config: Mapping[str, Any],
    workdir: str | Path,
    results: str | Path | None,
    only: Collection[str],
    problems: Callable[[Mapping[str, Any]], Iterable[str]],
) -> Iterator[None]:
    """Holds an experiment's folder for a command that is for all of it.

    Args:
      config: checked before anything is written.
      workdir: the experiment's folder.
      results: where the table goes, if anywhere.
      only: the runs that the command is for; any at all leave the folder to others.
      problems: what the recipe has against a config.

    Raises:
      UserError: if the config cannot be used, another such command is at work there, or the folder cannot be written.
    """
    schema.check(config, problems)
    check_results(results)
    if only:
        schema.needed_by(config["runs"], only)  # says now which there is not
    check_workdir(Path(workdir))
    with contextlib.nullcontext() if only else hold(workdir, otherwise="wait for it, or give another --workdir"):
        yield


Part = TypeVar("Part")


def free_first(
    parts: Mapping[str, Iterable[Part]],
    folders: Callable[[str, Part], Iterable[Path]],
    before: Callable[[str], Iterable[str]],
) -> Iterator[tuple[str, Part]]:
    """The parts of runs in order; those that another process is at are left for later, and so is what needs them.

    Args:
      parts: by run, its seeds, or whatever of it is trained at once; a run comes after those that it needs.
      folders: that a part of a run writes to.
      before: the names of the runs that a run needs.

    Yields:
      A run's name and a part of it, which is done when the next is asked for.
    """
    left = [(name, part) for name, several in parts.items() for part in several]

    def first_free() -> str:
        missing = {name for name, _ in left}
        ready = [i for i, (name, _) in enumerate(left) if missing.isdisjoint(before(name))]
        return str(next((i for i in ready if not any(map(is_held, folders(*left[i])))), ready[0]))

    while left:
        yield left.pop(int(told(first_free)))  # the same for all processes of a distributed run


@contextlib.contextmanager
def run_held(folder: Path, total_steps: int) -> Iterator[None]:
    """Holds a run's folder while it trains; waits for another process that does, and says how far it has come."""
    with hold(folder, wait=lambda: _step_reached(folder, total_steps)):
        yield


@contextlib.contextmanager
def loops_held(folders: Sequence[Path]) -> Iterator[None]:
    """Holds the folders of labelling loops, in one order for all processes; waits as :func:`run_held` does."""
    with contextlib.ExitStack() as stack:
        for folder in sorted(folders):
            stack.enter_context(hold(folder, wait=lambda folder=folder: _round_reached(folder)))
            for round_ in folder.glob("round_*") if is_primary() else ():
                sweep(round_)
        yield


def check_workdir(workdir: Path) -> None:
    """Refuses a folder that cannot be written, before any work is done.

    Raises:
      UserError: naming the folder and the reason.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = partial_of(workdir / "write_test")
        probe.write_bytes(b"\0" * 4096)
        probe.unlink(missing_ok=True)  # whoever holds the folder may have swept it away
    except OSError as error:
        raise UserError(f"workdir={workdir} cannot be written: {error.strerror}") from error
    free = shutil.disk_usage(workdir).free
    if free < 64 * 2**20:
        raise UserError(f"workdir={workdir}: only {free / 2**20:.0f} MiB are free; make room or take another folder")


def _step_reached(folder: Path, total_steps: int) -> str:
    step = last_step(folder)
    return f"which is at step {step:,} of {total_steps:,}" if step else "which has not made a step yet"


def _round_reached(folder: Path) -> str:
    rounds = sorted(path.parent for path in folder.glob("round_*/metrics.jsonl"))
    if not rounds:
        return "which has not trained yet"
    return f"which is in round {rounds[-1].name.removeprefix('round_')}, at step {last_step(rounds[-1]):,}"


def last_step(folder: Path) -> int:
    """The last step in a run's metrics; 0 if there is none. Another process may be writing them."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
            lines = file.read().split(b"\n")[:-1]
        return int(json.loads(lines[-1])["step"])
    except (OSError, LookupError, ValueError, TypeError):  # none yet, or not for us to judge
        return 0
