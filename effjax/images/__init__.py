"""Operations on images ``[..., H, W, C]``, batched and differentiable, for use inside a compiled step."""

from effjax.images.augment import crop_matrices, flip_matrices, random_crop, random_flip
from effjax.images.copy_paste import copy_paste
from effjax.images.erasing import random_erasing
from effjax.images.frequency import low_frequency_crop
from effjax.images.jitter import color_jitter, three_augment
from effjax.images.mixing import cutmix, mixup
from effjax.images.random_augment import augment_matrices, random_augment
from effjax.images.resize import resize
from effjax.images.resized_crop import random_resized_crop, resized_crop_matrices

__all__ = [
    "augment_matrices",
    "color_jitter",
    "copy_paste",
    "crop_matrices",
    "cutmix",
    "flip_matrices",
    "low_frequency_crop",
    "mixup",
    "random_augment",
    "random_crop",
    "random_erasing",
    "random_flip",
    "random_resized_crop",
    "resize",
    "resized_crop_matrices",
    "three_augment",
]
