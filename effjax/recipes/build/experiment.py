"""An experiment's config, made real: what every recipe begins with."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from effjax.errors import noted, refuse
from effjax.models import convolutions
from effjax.recipes import schema
from effjax.recipes.build.datasets import Datasets, open_datasets
from effjax.recipes.build.early_checks import check_teacher_cache
from effjax.recipes.build.sharing import check_workdir
from effjax.runtime import Backend, make_backend


class Experiment:
    """What the runs of an experiment share.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain.
      workdir: where everything is written.

    Attributes:
      config: the same.
      workdir: the same.
      backend: the devices.
      datasets: the data.
      seeds: all of them.

    Raises:
      UserError: if anything in the config cannot be used.
    """

    def __init__(self, config: Mapping[str, Any], workdir: str | Path):
        schema.check(config)
        self.config, self.workdir = config, Path(workdir)
        check_workdir(self.workdir)
        check_teacher_cache(config)
        convolutions.prepare({run["convolutions"] for run in config["runs"].values()})
        self.backend: Backend = make_backend(config["backend"])
        self.datasets: Datasets = open_datasets(config)
        self.seeds = range(config["seed"], config["seed"] + config["num_seeds"])

    def seeds_of(self, name: str) -> range:
        """The seeds of a run."""
        return self.seeds[: self.config["runs"][name]["num_seeds"] or None]

    def folder(self, name: str, seed: int | None) -> Path:
        """A run's folder of a seed; None: the one of all seeds, where they train in one program."""
        return run_folder(self.workdir, name, seed)

    def runs_before(self, name: str) -> Iterable[str]:
        """The names of the runs that a run needs."""
        return schema.runs_before(self.config["runs"][name])

    def make_all(self, names: Iterable[str], make: Callable[[str], None]) -> None:
        """Makes all runs before any is trained: a mistake in the last costs nothing.

        Raises:
          UserError: with what every run cannot use.
        """
        found: list[str] = []
        for name in names:
            with noted(found, f"config.runs.{name}"):
                make(name)
        refuse(found)


def run_folder(workdir: Path, name: str, seed: int | None) -> Path:
    """A run's folder in that of its experiment; arguments as :meth:`Experiment.folder`."""
    return workdir / name / ("together" if seed is None else f"seed_{seed}")
