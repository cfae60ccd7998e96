"""Convolutions by oneDNN, which PyTorch computes them with on CPUs, as operations of XLA's programs.

oneDNN is the package ``onednn-cpu-gomp`` (``effjax[onednn]``), and nothing has to be built: the C function that XLA
calls (:func:`jax.ffi.register_ffi_target`) is made by ctypes. It reads where the arrays lie, and oneDNN computes on
them in place.

Source: https://github.com/uxlfoundation/oneDNN, version 3.2.
"""

from effjax.models.onednn.handler import register
from effjax.models.onednn.operation import Laid, check_usable, convolution, followed_convolution, laid_kernel

__all__ = ["Laid", "check_usable", "convolution", "followed_convolution", "laid_kernel", "register"]
