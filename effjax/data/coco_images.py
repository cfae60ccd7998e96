"""The images of a COCO file: where they lie, and whether they are what was annotated."""

import logging
import pathlib
from collections.abc import Sequence

import numpy as np

from effjax.data.checked_files import FileFacts
from effjax.data.coco_files import Annotated, CocoFile
from effjax.data.coco_layout import CocoPart
from effjax.data.image_files import named
from effjax.errors import refuse

_log = logging.getLogger("effjax")

_LISTED = 20  # mistakes that are said at once; more are counted


def path_of(image: Annotated, part: CocoPart, root: pathlib.Path) -> str:
    """Where an image lies below the root; of one that is nowhere, where it should."""
    there = [folder for folder in part.folders if (folder / image.name).is_file()]
    folder = next(iter([*there, *(folder for folder in part.folders if folder.is_dir()), part.folders[0]]))
    return str((folder / image.name).relative_to(root))


def check_images(
    found: CocoFile, part: CocoPart, facts: Sequence[FileFacts | str], paths: Sequence[str], root: pathlib.Path
) -> tuple[list[FileFacts], np.ndarray]:
    """Refuses what is wrong with annotations and images, all of it at once.

    Args:
      found: what the file of annotations says.
      part: the file.
      facts: of each image what was read, or why it cannot be.
      paths: of the images.
      root: that the paths are relative to.

    Returns:
      The facts, and which pictures are turned as their cameras were held, ``[N]``: those whose boxes are of them so.

    Raises:
      UserError: with a line for each mistake.
    """
    wrong, upright = list(found.wrong), []
    for image, fact, path in zip(found.images, facts, paths, strict=True):
        turned = _is_upright(image, fact)
        if isinstance(fact, str) and not (root / path).exists():
            turned = "it is not there"
        upright.append(turned is True)
        if isinstance(turned, str):
            wrong.append(f"image {image.id} ({path}): {turned}")
    if part.published and found.empty:
        _log.warning("%s: boxes without an area are left out: %s", part.file, named(found.empty))
    else:
        wrong += found.empty
    if not found.images or not found.class_names:
        wrong.append("there are no images, or no categories")
    more = [f"{part.file}: and {len(wrong) - _LISTED:,} more"] if len(wrong) > _LISTED else []
    refuse([*(f"{part.file}: {line}" for line in wrong[:_LISTED]), *more])
    return [fact for fact in facts if not isinstance(fact, str)], np.array(upright)


def _is_upright(image: Annotated, fact: FileFacts | str) -> bool | str:
    """Whether boxes are of the picture as its camera was held, or as it is stored; or why nobody can tell."""
    if isinstance(fact, str):
        return fact
    annotated, seen = (image.height, image.width), (fact.height, fact.width)
    on_its_side = fact.orientation > 4
    if annotated == seen and (fact.orientation == 1 or (on_its_side and seen != seen[::-1])):
        return True
    if annotated == seen[::-1] and on_its_side and seen != seen[::-1]:
        return False
    if annotated != seen:
        return f"it has {fact.width}×{fact.height} pixels, not {image.width}×{image.height}"
    return (
        f"EXIF says that the camera was turned (orientation {fact.orientation}), and its size does not tell whether "
        "the boxes are of the picture so turned: save it upright, without that note"
    )
