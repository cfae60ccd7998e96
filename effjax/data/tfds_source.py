"""Datasets that TFDS prepared as array_record, read without TensorFlow."""

import difflib
import functools
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from effjax.command import as_called_here
from effjax.data import builders
from effjax.data.base import DatasetInfo, Example, Source, no_column, resized
from effjax.data.decode import decode_image, stored_size
from effjax.data.photo_boxes import SeenPart
from effjax.data.photo_crops import PhotoCrops
from effjax.data.prepared_files import open_prepared
from effjax.data.tfds_features import (
    StoredFeature,
    class_names_of,
    in_centre_square,
    names_of,
    stored_features,
    with_moved_boxes,
)
from effjax.errors import UserError, check_known, nearest
from effjax.files import damaged, home_expanded
from effjax.specs import Spec

_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(/(?P<config>[^:/]+))?(:(?P<version>[\d*]+\.[\d*]+\.[\d*]+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def prepare_command(name: str, data_dir: str | pathlib.Path) -> str:
    """The command that prepares a dataset."""
    download = "" if name in builders.NAMES else " --download"
    return as_called_here(f"python -m launch.data --dataset={name} --data_dir={data_dir}{download}")


def parse_name(name: str) -> tuple[str, str | None, str | None]:
    """Takes a TFDS name apart: ``name[/config][:version]``.

    Returns:
      ``(name, config or None, version pattern or None)``.

    Raises:
      UserError: if it is no such name.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise UserError(
            f"dataset {name!r} is not a dataset's name: use name, name/config, name:1.*.*, folder:/path or coco:/path"
        )
    return match["name"], match["config"], match["version"]


def prepared_dir(name: str, data_dir: str | pathlib.Path) -> pathlib.Path | None:
    """Where a dataset lies prepared. A preparation that was killed leaves nothing that is found here.

    Args:
      name: a TFDS name, with config and version pattern if wanted.
      data_dir: the folder that the datasets are prepared in.

    Returns:
      The newest version's folder, or None if the dataset is not prepared.

    Raises:
      UserError: if no config was named and several are prepared.
    """
    base, config, version = parse_name(name)
    if base in builders.NAMES:
        version = version or str(builders.builder_class(base).VERSION)
    root = home_expanded(data_dir) / base
    if config is not None:
        return _newest(root / config, version)
    if found := _newest(root, version):
        return found
    configs = {path.name: found for path in _folders(root) if (found := _newest(path, version))}
    if len(configs) > 1:
        names = ", ".join(f"{base}/{config}" for config in configs)
        raise UserError(f"dataset {name!r} is prepared in several configs: use one of {names}")
    return next(iter(configs.values()), None)


def prepared_names(data_dir: str | pathlib.Path) -> list[str]:
    """The names of all datasets that are prepared in a folder."""
    roots = _folders(home_expanded(data_dir))
    return [root.name for root in roots if any(_newest(path, None) for path in [root, *_folders(root)])]


def require_known(name: str, data_dir: str | pathlib.Path) -> None:
    """Raises a ``UserError`` with the nearest name, if no dataset has this one."""
    import tensorflow_datasets as tfds  # takes most of a second

    base, _, _ = parse_name(name)
    known = [*builders.NAMES, *prepared_names(data_dir), *tfds.list_builders(with_community_datasets=False)]
    if base not in known:
        # TFDS has far too many to list.
        allowed = {*builders.NAMES, *prepared_names(data_dir), *difflib.get_close_matches(base, known, n=3)}
        raise UserError(
            f"unknown dataset {name!r}; {nearest(base, allowed)}, any other TFDS name, folder:/path or coco:/path"
        )


def tfds_splits(name: str, directory: pathlib.Path) -> list[str]:
    """The names of a prepared dataset's splits."""
    return list(open_prepared(directory, prepare_again(name, directory)).info.splits)


def prepare_again(name: str, directory: pathlib.Path) -> str:
    """What to do about a dataset that is damaged."""
    base, _, _ = parse_name(name)
    data_dir = next((path.parent for path in directory.parents if path.name == base), directory.parent)
    return f"remove {directory}, then run: {prepare_command(name, data_dir)}"


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def _newest(root: pathlib.Path, version: str | None) -> pathlib.Path | None:
    wanted = re.compile((version or "*.*.*").replace(".", r"\.").replace("*", r"\d+"))
    found = [
        path
        for path in _folders(root)
        if _VERSION.fullmatch(path.name) and wanted.fullmatch(path.name) and (path / "dataset_info.json").exists()
    ]
    return max(found, key=lambda path: tuple(map(int, path.name.split("."))), default=None)


class TfdsSource:
    """One whole split of a prepared dataset. The record's index is its global id."""

    _crop_pct: float = 1.0  # see at_crop_pct

    def __init__(
        self,
        name: str,
        split: str,
        directory: pathlib.Path,
        image_size: int | None = None,
        padded: Mapping[str, int] | None = None,
    ):
        """Opens the split.

        Args:
          name: of the dataset, for messages.
          split: a split's name.
          directory: as ``prepared_dir`` finds it.
          image_size: as in ``load``.
          padded: as in ``load``.

        Raises:
          UserError: for an unknown split, a dataset without images or classes, or a feature that cannot be padded.
        """
        self._name, self._directory, self._split, self._image_size = name, directory, split, image_size
        self._columns: dict[str, np.ndarray] = {}
        splits = self._builder.info.splits
        check_known(split, splits, f"dataset {name!r} has no split {split!r}")
        features = self._builder.info.features
        shape = getattr(features["image"], "shape", None) if "image" in features else None
        names = class_names_of(features)
        if not isinstance(shape, tuple) or len(shape) != 3 or shape[-1] not in (1, 3, 4) or not names:
            raise UserError(f"dataset {name!r} has no image and class label, only: {', '.join(features)}")
        self._numeric: dict[str, StoredFeature] = stored_features(features, padded or {}, name)
        specs = {key: feature.spec for key, feature in self._numeric.items()}
        specs.update(image=Spec(np.uint8, shape), id=Spec(np.int32))
        # Of what is not square, the centre is cut out, and the boxes are those of what is left.
        square = shape[0] is not None and shape[0] == shape[1]
        self._boxes = [f for f in self._numeric.values() if f.is_box and not f.spec.is_ragged and not square]
        self._channels = shape[-1]
        self.info = DatasetInfo(name, split, splits[split].num_examples, names, specs, names_of(features))
        if image_size:
            self.info = self.info.at_size(image_size)

    def __getstate__(self) -> dict[str, Any]:
        opened = {"_builder": None, "_records": None, "_deserialize": None}
        return {**{key: value for key, value in self.__dict__.items() if key not in opened}, "_columns": {}}

    @functools.cached_property
    def _builder(self) -> Any:
        return open_prepared(self._directory, prepare_again(self._name, self._directory))

    @functools.cached_property
    def _records(self) -> Any:
        import tensorflow_datasets as tfds

        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        try:
            return self._builder.as_data_source(self._split, deserialize_method=raw)
        except NotImplementedError:
            command = prepare_command(self.info.name, "ANOTHER_DIR")
            raise UserError(
                f"dataset {self.info.name!r} in {self._directory} is not stored as array_record; run: {command}"
            ) from None

    @functools.cached_property
    def _deserialize(self) -> Callable[[bytes], dict[str, Any]]:
        import tensorflow_datasets as tfds

        # TFDS' own decoder takes a grey or CMYK JPEG for what it is, whatever the feature's channels say.
        encoded = {"image": tfds.decode.SkipDecoding()}
        return functools.partial(self._builder.info.features.deserialize_example_np, decoders=encoded)

    def __len__(self) -> int:
        return self.info.num_examples

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        return self._example(row)

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        return self._example(row, SeenPart(crops, int(row)))

    def _example(self, row: int, part: SeenPart | None = None) -> Example:
        record = self._record(row, is_whole=part is not None)
        # Not turned, as nobody else's decoder of such datasets turns it: boxes and published numbers are of that.
        image = decode_image(
            *(record["image"], self._channels, self._image_size), upright=False, part=part, crop_pct=self._crop_pct
        )
        if part is not None:
            for name in self.box_names:
                self._value(name, record, row)  # of all, or a run might end late, with a part that shows so many
            record = with_moved_boxes(record, [self._numeric[name] for name in self.box_names], part.moved)
        numbers = {name: self._value(name, record, row) for name, f in self._numeric.items() if not f.spec.is_ragged}
        return {**numbers, "image": image, "id": np.asarray(row, np.int32)}

    def at_size(self, image_size: int) -> Source:
        other = resized(self, image_size)
        other._columns = {}  # of boxes as they lie in whole images, if this one does not cut them
        return other

    @property
    def box_names(self) -> list[str]:
        """The features that are boxes in the image, of those that are read."""
        return [name for name, feature in self._numeric.items() if feature.is_box and not feature.spec.is_ragged]

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        if name == "id":
            return self.ids()
        if name not in self._numeric or self._numeric[name].spec.is_ragged:
            raise no_column(self, name)
        if name not in self._columns:
            # A record takes far longer to read than to look at: those that cannot fail are taken along.
            alongside = (other for other, f in self._numeric.items() if f.spec.padding is None and not f.spec.is_ragged)
            values: dict[str, list[np.ndarray]] = {one: [] for one in (name, *alongside) if one not in self._columns}
            read = self._reader_of(self._numeric[one].path[0] for one in values)
            for row in self.ids():
                record = self._record(row, read)
                for one, column in values.items():
                    column.append(self._value(one, record, row))
            for one, column in values.items():
                spec = self._numeric[one].spec
                self._columns[one] = np.array(column, spec.dtype).reshape(len(self), *spec.shape)
        return self._columns[name].copy()

    def entries(self, group: str) -> np.ndarray:
        """How many entries of a group each example has, ``[N]``; whether or not room for them has been made.

        Raises:
          UserError: if there is no such group whose length differs from example to example.
        """
        several = {f.path[0]: f for f in self._numeric.values() if f.spec.is_ragged or f.spec.padding is not None}
        check_known(group, several, f"{self._name!r} has no feature {group!r} whose length differs")
        read = self._reader_of([group])
        return np.array([several[group].length_in(self._record(row, read)) for row in self.ids()], np.int64)

    def _reader_of(self, tops: Iterable[str]) -> Callable[[bytes], Any]:
        """What takes some features, or groups, out of a record, and leaves the rest unread."""
        import tensorflow_datasets as tfds

        features = {top: self._builder.info.features[top] for top in tops}
        if not self._image_size or not any(box.path[0] in features for box in self._boxes):
            return tfds.features.FeaturesDict(features).deserialize_example_np
        features["image"] = self._builder.info.features["image"]  # its size says where boxes come to lie
        encoded = {"image": tfds.decode.SkipDecoding()}
        return functools.partial(tfds.features.FeaturesDict(features).deserialize_example_np, decoders=encoded)

    def _value(self, name: str, record: Mapping[str, Any], row: int) -> np.ndarray:
        """Raises ``UserError`` if the example has more entries than fit."""
        try:
            return self._numeric[name].of(record)
        except ValueError as error:
            top = self._numeric[name].path[0]
            raise UserError(
                f"config.data.padded.{top}: {name!r} of example {row} in {self._name}/{self._split}: {error}; make "
                "room for those of the fullest example"
            ) from error

    def _record(
        self, row: int, read: Callable[[bytes], Any] | None = None, *, is_whole: bool = False
    ) -> Mapping[str, Any]:
        """A record, its boxes those of the whole image or of what is decoded of it.

        Raises:
          UserError: if it is damaged: records have checksums.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        try:
            if stored := self._records[row]:
                record = (read or self._deserialize)(stored)
                return record if is_whole else self._as_seen(record)
            error: Exception = ValueError("the record is empty")  # so is every one of a file that was cut off
        except UserError:
            raise
        except Exception as raised:  # the reader's and TFDS's, of any kind
            error = raised
        raise damaged(self._file_of(row), error, prepare_again(self._name, self._directory)) from error

    def _as_seen(self, record: Mapping[str, Any]) -> Mapping[str, Any]:
        """A record whose boxes are those of its image as it is decoded."""
        boxes = [box for box in self._boxes if box.path[0] in record]
        return in_centre_square(record, boxes, stored_size(record["image"])) if boxes and self._image_size else record

    def _file_of(self, row: int) -> pathlib.Path:
        """The file that holds a record; the folder, where its description does not say."""
        try:
            split = self._builder.info.splits[self._split]
            shard = np.searchsorted(np.cumsum(split.shard_lengths), row % len(self), "right")
            return pathlib.Path(split.filepaths[int(shard)])
        except Exception:  # TFDS raises nearly anything on a damaged description
            return self._directory
