"""What the tests share: compiled programs and prepared data, in a folder that stays; sources in memory."""

import gc
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
from processes import HASTE

from effjax.data.base import DatasetInfo, labelled_images
from effjax.data.prepare import prepare

_REPOSITORY = pathlib.Path(__file__).parents[1]
_TESTS = _REPOSITORY / "tests"
_CACHE = str(_REPOSITORY / ".cache" / "xla")
_MEMORY = pathlib.Path("/dev/shm")
_WHOLE = "EFFJAX_WHOLE_SUITE"


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also what tests/slow.txt lists, as the nightly run does")


def pytest_collection_modifyitems(config, items):
    """Of the whole suite, what takes long and has a shorter relative is left to the nightly run; see tests/slow.py."""
    if not os.environ.get(_WHOLE):
        return
    names = set((_TESTS / "slow.txt").read_text().splitlines())
    left_out = [item for item in items if item.nodeid in names]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.nodeid not in names]


def pytest_configure(config):
    """Many tests compile the same programs, here, in the other worker and in processes that they start: once does.

    Nearly all are so small that to compile them takes longer than to run them: it is done in haste.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("--slow")
    if not hasattr(config, "workerinput"):  # workers are told by it what the first process knows
        os.environ[_WHOLE] = "1" if whole else ""
    # What processes of tests import must not depend on the shell that the tests were started from.
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (_REPOSITORY, _TESTS)))
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = flags if HASTE in flags else f"{HASTE} {flags}".strip()
    jax.config.update("jax_compilation_cache_dir", os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # A checkpoint is dozens of files: on a disk, to write and delete them takes longer than to compute what they say.
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 * 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_finish():
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """After each file, what is still alive is no longer looked at by the garbage collector.

    Millions of objects of traced programs stay in JAX's caches: to walk them again and again took as long as the tests.
    """
    result = yield
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
    return result


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Holds ``digits``, prepared. ``prepare`` lets one process work while others wait, so that -n 2 does too."""
    path = pathlib.Path(os.environ.get("EFFJAX_TEST_DATA", _REPOSITORY / ".cache" / "test_data"))
    prepare("digits", path)
    return path


class ArraySource:
    """A source in memory, whose image at row r is full of r."""

    def __init__(self, num_examples: int, shape: tuple[int, int, int] = (2, 3, 1)):
        self.info = DatasetInfo("memory", "train", num_examples, ("even", "odd"), labelled_images(shape))

    def __len__(self):
        return self.info.num_examples

    def __getitem__(self, row):
        if not 0 <= row < len(self):
            raise IndexError(row)
        return {
            "image": np.full(self.info.image_shape, row % 256, np.uint8),
            "label": np.asarray(row % 2, np.int32),
            "id": np.asarray(row, np.int32),
        }

    def ids(self):
        return np.arange(len(self))

    def column(self, name):
        return {"label": (np.arange(len(self)) % 2).astype(np.int32), "id": self.ids()}[name]


class RaggedSource(ArraySource):
    """Images of two sizes."""

    def __getitem__(self, row):
        example = super().__getitem__(row)
        return {**example, "image": np.zeros((4 + row % 2, 4, 1), np.uint8)}


@pytest.fixture
def array_source():
    return ArraySource


@pytest.fixture
def ragged_source():
    return RaggedSource


@pytest.fixture(scope="session")
def exported_runs(tmp_path_factory, data_dir):
    """Runs that are exported: their folders by name, and where their data is."""
    from trained_runs import small_experiment

    from effjax.recipes.train.runs import TrainingExperiment

    workdir = tmp_path_factory.mktemp("runs")
    done = list(TrainingExperiment(small_experiment(data_dir), workdir).train())
    return {one.name: str(one.folder) for one in done}, str(data_dir)


@pytest.fixture(scope="session")
def trained_mlp(exported_runs):
    """A run's folder, the step, and where its data is: what :func:`effjax.recipes.export.subject.of_run` takes."""
    runs, data = exported_runs
    return runs["mlp"], "last", data
