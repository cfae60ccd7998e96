"""Datasets of others, prepared from their official archives as TFDS lays them out, without TensorFlow."""

import contextlib
import importlib
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from effjax.data.archives import Archive

Splits = dict[str, Iterator[tuple[Any, dict[str, Any]]]]


class Official(NamedTuple):
    """How a dataset of TFDS's is prepared here.

    Attributes:
      module: here, whose ``splits(archives, info)`` reads the archives.
      archives: their names, of those that TFDS knows the checksums of.
      by_hand: whether people have to get them themselves.
      config: the only one that is prepared here; empty: it has none.
    """

    module: str
    archives: tuple[str, ...]
    by_hand: bool = False
    config: str = ""


_IDX = tuple(f"{split}-{what}-ubyte.gz" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))

DATASETS: Mapping[str, Official] = {
    "cifar10": Official("cifar", ("cifar-10-binary.tar.gz",)),
    "cifar100": Official("cifar", ("cifar-100-binary.tar.gz",)),
    "mnist": Official("mnist", _IDX),
    "fashion_mnist": Official("mnist", _IDX),
    "svhn_cropped": Official("svhn", ("train_32x32.mat", "test_32x32.mat", "extra_32x32.mat")),
    "eurosat": Official("eurosat", ("EuroSAT.zip",), config="rgb"),
    "food101": Official("food101", ("food-101.tar.gz",)),
    "oxford_iiit_pet": Official("pets", ("images.tar.gz", "annotations.tar.gz")),
    "cars196": Official(
        "cars", ("cars_train.tgz", "cars_test.tgz", "car_devkit.tgz", "cars_test_annos_withlabels.mat")
    ),
    "imagenet2012": Official("imagenet", ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"), by_hand=True),
}


def archives_of(name: str) -> list[Archive]:
    """The archives of a dataset, with the sizes and checksums that TFDS has noted."""
    official = DATASETS[name]
    known = {url.rpartition("/")[2]: (url, found) for url, found in _tfds_class(name).url_infos.items()}
    archives = []
    for file in official.archives:
        url, noted = known[file]
        archives.append(Archive(file, url, int(noted.size), noted.checksum, official.by_hand))
    return archives


def builder(name: str, data_dir: pathlib.Path, archives: Mapping[str, pathlib.Path], config: str | None) -> Any:
    """TFDS's own builder of a dataset, which reads the archives with our own readers.

    Args:
      name: one of ``DATASETS``.
      data_dir: where it is prepared.
      archives: by name, where they lie.
      config: as TFDS calls it; None: the usual one.
    """
    from tensorflow_datasets.core import registered

    splits: Callable[..., Splits] = importlib.import_module(f"{__name__}.{DATASETS[name].module}").splits
    cls = _tfds_class(name)

    def split_generators(self: Any, dl_manager: Any) -> Splits:
        return splits(archives, self.info)

    with registered.skip_registration():
        own = type(cls.__name__, (cls,), {"_split_generators": split_generators, "__module__": cls.__module__})
    own.name = cls.name
    with contextlib.suppress(AttributeError):
        own.pkg_dir_path = cls.pkg_dir_path  # where TFDS keeps what a builder of its newer form says of itself
    return own(data_dir=data_dir, config=config or DATASETS[name].config or None)


def _tfds_class(name: str) -> Any:
    import tensorflow_datasets as tfds  # takes most of a second

    return tfds.builder_cls(name)
