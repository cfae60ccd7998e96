"""Networks of inverted residual blocks: what MobileNets and EfficientNets share."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.depthwise import DepthwiseConv
from effjax.models.layers import Dropout, check_inputs, head_field, predict
from effjax.models.normalised import Across, BatchNorm
from effjax.models.taps import Outputs, Taps

_FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "relu6": nn.relu6,
    "hard_swish": nn.hard_swish,
    "hard_sigmoid": nn.hard_sigmoid,
    "sigmoid": nn.sigmoid,
    "silu": nn.silu,
}


class Inverted(NamedTuple):
    """One block.

    Attributes:
      kernel: of the depthwise convolution.
      stride: of the same.
      expanded: channels that it filters, to which a 1×1 convolution expands; 0: those that the block reads.
      channels: that the block puts out.
      adds: whether what it reads is added at the end.
      squeezed: channels that squeeze-and-excitation squeezes to; 0: there is none.
      activation: after each normalisation but the last.
    """

    kernel: int
    stride: int
    expanded: int
    channels: int
    adds: bool
    squeezed: int
    activation: str


class Layout(NamedTuple):
    """A whole network.

    Attributes:
      stem: channels of the 3×3 convolution of stride 2 before the blocks.
      stages: the blocks.
      last: channels of the 1×1 convolution after them.
      hidden: units of a dense layer after pooling; 0: there is none.
      activation: of stem, last and hidden.
      squeezing: the activation within squeeze-and-excitation, and what its end is bounded by.
      epsilon: of batch normalisation.
      momentum: of the same: what the running statistics keep.
      symmetric: whether zeros are added alike before and after, as in PyTorch; else as in TensorFlow.
    """

    stem: int
    stages: tuple[tuple[Inverted, ...], ...]
    last: int
    hidden: int
    activation: str
    squeezing: tuple[str, str]
    epsilon: float
    momentum: float
    symmetric: bool


class InvertedNet(nn.Module):
    """A stem, stages of inverted residual blocks, a 1×1 convolution, average pooling, a classifier.

    Attributes:
      num_classes: K.
      dropout: the probability of dropping a feature before the classifier.
      axis_name: a mapped axis over which batch statistics are averaged, or the parts of a batch that have their own.
      dtype: what is computed in; parameters, statistics and logits are float32.
      taps: paths to return: ``stem``, ``stage1/block1``, …, ``stage1`` (its last block), …, ``head`` (before
        pooling), ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Sandler et al, 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks, https://arxiv.org/abs/1801.04381
      Hu et al, 2018, Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
    """

    num_classes: int
    dropout: float = 0.2
    axis_name: Across = None
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    def layout(self) -> Layout:
        """What the network consists of."""
        raise NotImplementedError

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` normalises by this batch."""
        check_inputs(images, dropout_keys)
        taps, layout = Taps(self.taps), self.layout()
        conv = partial(_conv, symmetric=layout.symmetric, dtype=self.dtype)
        norm = partial(
            BatchNorm,
            use_running_average=not train,
            momentum=layout.momentum,
            epsilon=layout.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        active = _FUNCTIONS[layout.activation]
        x = conv(layout.stem, 3, 2, name="stem_conv")(images.astype(self.dtype))
        x = norm(name="stem_norm", activation=active)(x)
        taps.keep("stem", x)
        maps, reduced = {}, 2
        for i, blocks in enumerate(layout.stages, start=1):
            x = _Stage(conv, norm, blocks, layout.squeezing, layout.symmetric, name=f"stage{i}")(x, taps)
            taps.keep(f"stage{i}", x)
            for block in blocks:
                reduced *= block.stride
            maps[f"stride{reduced}"] = x
        x = norm(name="head_norm", activation=active)(conv(layout.last, 1, name="head_conv")(x))
        taps.keep("head", x)
        places = None if layout.hidden else x
        x = x.mean((1, 2))
        if layout.hidden:
            x = active(nn.Dense(layout.hidden, dtype=self.dtype, name="hidden")(x))
        x = Dropout(self.dropout, name="dropout")(x, dropout_keys)
        return predict(self, maps, x, taps, nn.initializers.lecun_normal(), train, dropout_keys, places)


class _Stage(nn.Module):
    """Blocks of one size; a module of its own, so that parameters lie at ``stage1/block2/project_conv/kernel``."""

    conv: Callable
    norm: Callable
    blocks: tuple[Inverted, ...]
    squeezing: tuple[str, str]
    symmetric: bool

    @nn.compact
    def __call__(self, x: jax.Array, taps: Taps) -> jax.Array:
        for i, block in enumerate(self.blocks, start=1):
            x = _Block(self.conv, self.norm, block, self.squeezing, self.symmetric, name=f"block{i}")(x)
            taps.keep(f"{self.name}/block{i}", x)
        return x


class _Block(nn.Module):
    """Expand by 1×1, filter each channel, weigh the channels, project by 1×1; no non-linearity at the end."""

    conv: Callable
    norm: Callable
    plan: Inverted
    squeezing: tuple[str, str]
    symmetric: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        plan, y = self.plan, x
        active = _FUNCTIONS[plan.activation]
        if plan.expanded:
            y = self.norm(name="expand_norm", activation=active)(self.conv(plan.expanded, 1, name="expand_conv")(y))
        filtered = DepthwiseConv(plan.kernel, plan.stride, self.symmetric, dtype=y.dtype, name="depthwise_conv")(y)
        y = self.norm(name="depthwise_norm", activation=active)(filtered)
        if plan.squeezed:
            y = y * excitation(y, plan.squeezed, *(_FUNCTIONS[name] for name in self.squeezing))
        y = self.conv(plan.channels, 1, name="project_conv")(y)
        return self.norm(name="project_norm")(y, x if plan.adds else None)


def excitation(x: jax.Array, squeezed: int, active: Callable, bounded: Callable) -> jax.Array:
    """What each channel is weighed by: two dense layers of the means, ``[B, H, W, C]`` to ``[B, 1, 1, C]``.

    To be called within a compact module, whose layers they become.

    References:
      Hu et al, 2018, Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
    """
    y = active(nn.Dense(squeezed, dtype=x.dtype, name="squeeze")(x.mean((1, 2))))
    return bounded(nn.Dense(x.shape[-1], dtype=x.dtype, name="excite")(y))[:, None, None, :]


def _conv(features: int, kernel: int, stride: int = 1, *, symmetric: bool, dtype: DTypeLike, name: str) -> nn.Conv:
    """A convolution that a normalisation follows."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((kernel // 2, kernel // 2),) * 2 if symmetric else "SAME",
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        name=name,
    )
