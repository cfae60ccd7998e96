"""Operations on images ``[..., H, W, C]``, batched and differentiable, for use inside a compiled step."""

from effjax.images.augment import random_crop, random_flip

__all__ = ["random_crop", "random_flip"]
