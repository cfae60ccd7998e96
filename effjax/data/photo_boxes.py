"""Boxes that follow their photo, where a random part of it is cut out as it is decoded."""

import numpy as np

from effjax.data.photo_crops import Part, PhotoCrops

# By the orientation that a camera notes in EXIF, how a place (y, x) of the stored picture, in [0, 1], gets to be one of
# the picture upright: whether y and x change places, and then which of the two is counted from the other end.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class SeenPart:
    """The part of a photo that a decoder cuts out, which it asks for by calling this; then boxes may follow.

    Args:
      crops: that say which part.
      id_: of the example, in its source.
    """

    def __init__(self, crops: PhotoCrops, id_: int):
        self._crops, self._id = crops, id_
        self._sides = 0.0, 0.0, 1.0, 1.0  # y0, x0, y1, x1

    def __call__(self, width: int, height: int) -> Part:
        """What is seen of a photo of so many pixels, as it is stored and not turned."""
        part = self._crops.part(self._id, width, height)
        self._sides = part.top / height, part.left / width, part.bottom / height, part.right / width
        return part

    def moved(self, boxes: np.ndarray, orientation: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Moves boxes from the photo to what was last asked for, as :class:`effjax.images.targets.Boxes` moves them.

        Args:
          boxes: ``[..., 4]`` y0, x0, y1, x1 in [0, 1] of the photo as it is seen.
          orientation: that EXIF notes, if the photo is seen upright; 1 where it is seen as it is stored.

        Returns:
          The boxes in [0, 1] of the part, float32, cut off at its sides; and which of them still show enough of their
          area, ``[...]``.
        """
        top, left, bottom, right = turned(self._sides, orientation)
        start, lengths = np.array([top, left] * 2), np.array([bottom - top, right - left] * 2)
        whole = (np.asarray(boxes, np.float64) - start) / lengths
        cut = np.clip(whole, 0, 1)
        share = _area(cut) / np.maximum(_area(whole), np.finfo(np.float64).tiny)
        return cut.astype(np.float32), (share >= self._crops.box_least) & (_area(cut) > 0)


def turned(box: tuple[float, float, float, float], orientation: int) -> tuple[float, float, float, float]:
    """Where a rectangle of a stored picture is in the picture upright.

    >>> turned((0.0, 0.0, 0.25, 0.5), 6)  # to be turned clockwise: what is on top comes to the right
    (0.0, 0.75, 0.5, 1.0)

    Args:
      box: y0, x0, y1, x1 in [0, 1].
      orientation: that EXIF notes.
    """
    swapped, flipped_y, flipped_x = _TURNS.get(orientation, (False, False, False))
    y0, x0, y1, x1 = (box[1], box[0], box[3], box[2]) if swapped else box
    y0, y1 = (1 - y1, 1 - y0) if flipped_y else (y0, y1)
    x0, x1 = (1 - x1, 1 - x0) if flipped_x else (x0, x1)
    return y0, x0, y1, x1


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
