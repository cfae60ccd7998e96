"""What of a TFDS record can be stacked into a batch: numbers of one shape, and numbers of any length once padded."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from effjax.data.centre_squares import boxes_in_square
from effjax.errors import UserError, nearest
from effjax.specs import Spec

#: What stands for a class where there is none.
NO_CLASS = -1
# The types that a device takes.
_NARROW = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.float64): np.dtype(np.float32)}


class StoredFeature(NamedTuple):
    """A numeric feature of a dataset.

    Attributes:
      path: the keys that lead to it in a record.
      spec: what it looks like in an example.
      is_mask: whether it says which entries of the others of its group are there, and is not stored.
      is_box: whether it is TFDS's feature for boxes, of parts of the image.
    """

    path: tuple[str, ...]
    spec: Spec
    is_mask: bool = False
    is_box: bool = False

    def of(self, record: Mapping[str, Any]) -> np.ndarray:
        """Its value in one record.

        Raises:
          ValueError: if the record has more entries than fit.
        """
        value = _at(record, self.path)
        if self.is_mask:
            value = np.ones(len(value), bool)
        value = np.asarray(value, self.spec.dtype)
        if self.spec.padding is None:
            return value
        # Of a group without entries TFDS says no more than that: boxes come as [0], not as [0, 4].
        return self.spec.padded(value if len(value) else value.reshape(0, *self.spec.shape[1:]))

    def length_in(self, record: Mapping[str, Any]) -> int:
        """How many entries one record has."""
        return len(_at(record, self.path))


def stored_features(features: Mapping[str, Any], padded: Mapping[str, int], name: str) -> dict[str, StoredFeature]:
    """All numeric features but the image, by name.

    A group's parts are called ``group/part``. What has a length of its own in each example is padded where it is said
    how many entries fit; ``name/valid`` then says which are there. Elsewhere its spec is ragged.

    Args:
      features: the dataset's ``tfds.features.FeaturesDict``.
      padded: by feature or group of differing length, how many entries fit.
      name: of the dataset, for messages.

    Raises:
      UserError: for a feature in ``padded`` that is not there, or whose length does not differ.
    """
    import tensorflow_datasets as tfds  # which whoever has features has imported

    found: dict[str, StoredFeature] = {}
    for top, feature in features.items():
        if top == "image":
            continue
        parts = dict(_parts((top,), feature, feature.shape, feature.np_dtype, padded.get(top)))
        found.update(parts)
        entries = isinstance(feature, tfds.features.Sequence)
        found.update(
            {key: part._replace(is_box=False) for key, part in parts.items() if not entries and _several(part)}
        )
        first = next((part for part in parts.values() if part.spec.padding is not None), None)
        if first is not None:
            mask = Spec(np.bool_, first.spec.shape[:1], False)
            found.setdefault(f"{top}/valid", StoredFeature(first.path, mask, is_mask=True))
    several = {part.path[0] for part in found.values() if _several(part)}
    for key in padded:
        if key not in several:
            raise UserError(
                f"config.data.padded.{key}: {name!r} has no feature of this name whose length differs from example to "
                f"example; {nearest(key, several)}"
            )
    return found


def in_centre_square(
    record: Mapping[str, Any], boxes: Sequence[StoredFeature], size: tuple[int, int]
) -> dict[str, Any]:
    """Moves the boxes of a record to the centre square of its image.

    Args:
      record: with the features that are or hold the boxes.
      boxes: those of its features that are boxes, padded or of a fixed number.
      size: (height, width) of the image.

    Returns:
      As :func:`with_moved_boxes`.
    """
    height, width = size
    return with_moved_boxes(record, boxes, functools.partial(boxes_in_square, height=height, width=width))


def with_moved_boxes(
    record: Mapping[str, Any],
    boxes: Sequence[StoredFeature],
    move: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any]:
    """Moves the boxes of a record to a part of its image.

    Args:
      record: with the features that are or hold the boxes.
      boxes: those of its features that are boxes, padded or of a fixed number.
      move: from boxes ``[n, 4]`` to these in the part, and which of them are left.

    Returns:
      The record of the part: of a group of differing length, without the entries whose box is lost.
    """
    found = dict(record)
    for top in {box.path[0] for box in boxes}:
        value, kept = found[top], None
        for box in (box for box in boxes if box.path[0] == top):
            moved, left = move(np.reshape(_at(value, box.path[1:]), (-1, 4)))
            if box.spec.padding is None:
                moved = moved.reshape(np.shape(_at(value, box.path[1:])))
            else:
                kept = left if kept is None else kept & left
            value = _with(value, box.path[1:], moved)
        found[top] = value if kept is None else _entries(value, kept)
    return found


def class_names_of(features: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes of a dataset: those of its ``label``, else of any part called so, else of whatever is a class.

    Returns:
      Empty where there are none, or it is not clear which are meant.
    """
    known = [found for top, feature in features.items() for found in _classes((top,), feature, feature.shape)]
    for chosen in (lambda path: path == ("label",), lambda path: path[-1] == "label", lambda path: True):
        names = {names for path, names in known if chosen(path)}
        if names:
            return names.pop() if len(names) == 1 else ()
    return ()


def names_of(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """By feature, the names that its numbers stand for; not of groups."""
    known = (found for top, feature in features.items() for found in _classes((top,), feature, feature.shape))
    return {path[0]: names for path, names in known if len(path) == 1 and path != ("label",)}


def _classes(path: tuple[str, ...], feature: Any, shape: Any) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    if isinstance(shape, Mapping):
        for key in shape:
            yield from _classes((*path, key), feature[key], shape[key])
    elif names := getattr(feature, "names", None):
        yield path, tuple(names)


def _several(feature: StoredFeature) -> bool:
    """Whether examples have as many entries as they happen to have."""
    return feature.spec.is_ragged or feature.spec.padding is not None


def _at(value: Any, path: Sequence[str]) -> Any:
    return _at(value[path[0]], path[1:]) if path else value


def _with(value: Any, path: Sequence[str], new: Any) -> Any:
    return {**value, path[0]: _with(value[path[0]], path[1:], new)} if path else new


def _entries(value: Any, kept: np.ndarray) -> Any:
    """Some entries of a feature, or of each of a group."""
    if isinstance(value, Mapping):
        return {key: _entries(part, kept) for key, part in value.items()}
    return [entry for entry, is_kept in zip(value, kept, strict=True) if is_kept]


def _parts(
    path: tuple[str, ...], feature: Any, shape: Any, dtype: Any, room: int | None
) -> Iterator[tuple[str, StoredFeature]]:
    """A feature, or those of a group, with their specs."""
    if isinstance(shape, Mapping):
        for key in shape:
            # The number of an entry among all is nothing to learn; COCO's do not fit what a device takes.
            if key != "id" or dtype[key] != np.int64:
                yield from _parts((*path, key), feature[key], shape[key], dtype[key], room)
        return
    if not isinstance(shape, tuple) or not (np.issubdtype(dtype, np.number) or np.issubdtype(dtype, np.bool_)):
        return
    padding = None
    if room is not None and shape[:1] == (None,) and None not in shape[1:]:
        shape, padding = (room, *shape[1:]), NO_CLASS if getattr(feature, "names", None) else 0
    spec = Spec(_NARROW.get(np.dtype(dtype), np.dtype(dtype)), shape, padding)
    yield "/".join(path), StoredFeature(path, spec, is_box=_is_box(feature))


def _is_box(feature: Any) -> bool:
    """Of parts of the image, y0, x0, y1, x1, as TFDS's feature is where nothing else is said."""
    form = getattr(getattr(feature, "feature", feature), "bbox_format", "none")
    return form is None or getattr(form, "value", form) == "REL_YXYX"
