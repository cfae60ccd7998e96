"""Runs that are exported, trained once."""

import pytest
from trained_runs import small_experiment

from effjax.recipes.train.runs import TrainingExperiment


@pytest.fixture(scope="session")
def exported_runs(tmp_path_factory, data_dir):
    """Runs' folders by name, and where their data is."""
    workdir = tmp_path_factory.mktemp("runs")
    done = list(TrainingExperiment(small_experiment(data_dir), workdir).train())
    return {one.name: str(one.folder) for one in done}, str(data_dir)


@pytest.fixture(scope="session")
def trained_mlp(exported_runs):
    """A run's folder, the step, and where its data is: what :func:`effjax.recipes.export.subject.of_run` takes."""
    runs, data = exported_runs
    return runs["mlp"], "last", data
