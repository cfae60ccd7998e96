"""Which part of a photo training sees: a function of (seed, step, id), drawn on the host before anything is decoded."""

import dataclasses
import math
import zlib
from typing import NamedTuple, Self

from effjax.data import draws

_PURPOSE = zlib.crc32(b"photo crop")
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


Box = tuple[float, float, float, float]  # left, top, right, bottom


class Part(NamedTuple):
    """A rectangle of a photo, in its pixels.

    Attributes:
      left: where it begins.
      top: likewise.
      right: where it ends.
      bottom: likewise.
      alone: whether a pixel beside it has no share in what it is resized to, as if it had been cut out first.
      resampler: what resizes it, see :mod:`effjax.data.fast_resize`.
    """

    left: float
    top: float
    right: float
    bottom: float
    alone: bool = False
    resampler: str = "pillow"

    def times(self, scale: float) -> Box:
        """Where it is in the photo made larger or smaller."""
        return self.left * scale, self.top * scale, self.right * scale, self.bottom * scale


@dataclasses.dataclass(frozen=True)
class PhotoCrops:
    """Random resized crops of whole photos, as torchvision and timm draw them.

    The area is uniform, the logarithm of width over height too, between ¾ and 4/3. What does not fit into the photo in
    ten draws gives way to the largest part in its middle with an allowed ratio.

    Nothing is carried along from step to step: a resumed run, any number of processes and whoever reads an example draw
    the same.

    Attributes:
      least: the least area, as a share of the photo's; the largest is all of it.
      seed: the run's.
      step: the global step.
      copy: which of its views in a step, where an example has several.
      first_id: what is added to the ids of a source that is one of several.
      box_least: a box is lost if less than this share of its area is in the part, or no area at all.
      resampler: what resizes the parts, see :mod:`effjax.data.fast_resize`.

    References:
      Szegedy et al., `Going deeper with convolutions <https://arxiv.org/abs/1409.4842>`_, 2015, sec. 6.
    """

    least: float = 0.08
    seed: int = 0
    step: int = 0
    copy: int = 0
    first_id: int = 0
    box_least: float = 0.1
    resampler: str = "pillow"

    def of_step(self, step: int, copy: int = 0) -> Self:
        """Those of another step."""
        return dataclasses.replace(self, step=step, copy=copy)

    def of_ids_from(self, first: int) -> Self:
        """Those of a source whose ids go on from ``first``."""
        return dataclasses.replace(self, first_id=self.first_id + first)

    def part(self, id_: int, width: int, height: int) -> Part:
        """What is seen of a photo.

        Args:
          id_: of the example, in its source.
          width: of the photo, in pixels.
          height: likewise.

        Returns:
          A part of whole pixels, cut out before it is resized.
        """
        key = ((_PURPOSE + self.copy) % 2**32 << 32 | self.seed, self.step << 32 | self.first_id + id_)
        drawn = draws.uniforms(key, 2 * _TRIES + 2).tolist()
        for share, shape in zip(drawn[:_TRIES], drawn[_TRIES:-2], strict=True):
            area = width * height * (self.least + (1 - self.least) * share)
            ratio = _RATIO[0] * (_RATIO[1] / _RATIO[0]) ** shape
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, top = int(drawn[-2] * (width - w + 1)), int(drawn[-1] * (height - h + 1))
                return Part(left, top, left + w, top + h, True, self.resampler)
        ratio = min(max(width / height, _RATIO[0]), _RATIO[1])
        w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
        left, top = (width - w) // 2, (height - h) // 2
        return Part(left, top, left + w, top + h, True, self.resampler)


def centre_part(width: int, height: int, size: int, crop_pct: float = 1.0) -> Part:
    """What evaluation sees of a photo.

    Args:
      width: of the photo, in pixels.
      height: likewise.
      size: of the square that is decoded, in pixels.
      crop_pct: 1: the largest square in the middle. Else as timm and torchvision do it: the shorter side is resized to
        ⌊size / crop_pct⌋ pixels, and of that the middle is cut out, at whole pixels.

    Returns:
      The part of the photo that becomes the square.

    Example:
      >>> centre_part(500, 375, 224)
      Part(left=62.5, top=0.0, right=437.5, bottom=375.0, alone=False)
      >>> centre_part(512, 256, 224, 0.875)  # resized to 256 it stays as it is; the middle 224 are seen
      Part(left=144.0, top=16.0, right=368.0, bottom=240.0, alone=False)
    """
    if crop_pct == 1:
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return Part(left, top, left + side, top + side)
    shorter = math.floor(size / crop_pct)
    lower = min(width, height)
    resized = [int(shorter * side / lower) for side in (width, height)]
    scales = [side / of for side, of in zip((width, height), resized, strict=True)]
    left, top = (round((side - size) / 2) for side in resized)
    return Part(left * scales[0], top * scales[1], (left + size) * scales[0], (top + size) * scales[1])
