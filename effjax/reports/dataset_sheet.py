"""What is in a dataset, at a glance: how many of each class, and a few of them."""

import numpy as np
from PIL import Image

from effjax.data.base import Source
from effjax.reports.contact_sheet import contact_sheet

PER_CLASS = 12
_BOXES, _LABELS, _VALID = "objects/bbox", "objects/label", "objects/valid"
_LARGE = 108  # pixels of an image with boxes, in which small things are to be seen


def shows_objects(source: Source) -> bool:
    """Whether images have objects of classes, rather than a class each."""
    return "label" not in source.info.features and _LABELS in source.info.features


def class_counts(source: Source) -> np.ndarray:
    """How many examples each class has; of images with objects, how many objects: ``[K]``."""
    labels = source.column(_LABELS)[source.column(_VALID)] if shows_objects(source) else source.column("label")
    return np.bincount(labels, minlength=source.info.num_classes)


def dataset_sheet(source: Source, *, classes: int) -> Image.Image:
    """Draws a few examples of each class on one page, with their boxes where they have any.

    Args:
      source: with a ``label``, or with ``objects`` padded; then a row shows images with objects of its class, and the
        boxes of these.
      classes: so many at most, the first ones.

    Returns:
      The page, RGB.
    """
    of_objects, boxed = shows_objects(source), _VALID in source.info.features and _BOXES in source.info.features
    labels = source.column(_LABELS if of_objects else "label").reshape(len(source), -1)
    images: dict[str, list[np.ndarray]] = {}
    boxes: dict[str, list[np.ndarray]] = {}
    for label, name in enumerate(source.info.class_names[:classes]):
        examples = [source[int(row)] for row in np.flatnonzero((labels == label).any(axis=1))[:PER_CLASS]]
        images[name] = [example["image"] for example in examples]
        if boxed:
            boxes[name] = [one[_BOXES][one[_LABELS] == label if of_objects else one[_VALID]] for one in examples]
    return contact_sheet(images, cell=_LARGE, boxes=boxes) if boxed else contact_sheet(images)
