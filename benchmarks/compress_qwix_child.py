"""Training in few bits by effjax and by qwix, in an environment that has qwix; prints one line of JSON.

python -m benchmarks.compress_qwix_child step LABEL WHOSE BITS: a step in few bits over a plain one, timed in turn.
python -m benchmarks.compress_qwix_child accuracy GIVEN.npz SEED EPOCHS: a ResNet-20 in floats, then in four bits.
"""

import functools
import json
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import qwix  # pyright: ignore[reportMissingImports]

from benchmarks.compress_networks import drawn
from benchmarks.fine_tuning import VIEW, Examples, Training, order
from benchmarks.in_turn import in_turn, ratio
from effjax import models
from effjax.steps import Objective, View, init_state, make_term, make_train_step

_BATCH = {"EfficientNet-Lite0, 112": 16}
_ROUNDS = 7
_CALIBRATED_ON = 512
_FLOATS = 0.6  # the share of the steps before few bits
_OUTER = "stem_conv|conv1|classifier"  # the first layer and the last


def student(module: nn.Module, whose: str, bits: str) -> Any:
    """A network in few bits; with first and last layer in eight, whoever makes it."""
    if whose == "effjax":
        return models.QuantizedModule(module, models.Scheme.parse(bits))
    few = {"w8a8": jnp.int8, "w4a4": jnp.int4}[bits.split()[0]]
    outer = {"weight_qtype": jnp.int8, "act_qtype": jnp.int8}
    rules = [
        qwix.QuantizationRule(module_path=_OUTER, **outer),
        qwix.QuantizationRule(module_path="", op_names=("mean",), **outer),  # what the last layer reads
        qwix.QuantizationRule(weight_qtype=few, act_qtype=few),
    ]
    # Not strict: it takes what a network computes without its knowing for constants, and does not stop.
    provider = {"qwix": qwix.QtProvider, "qwix, ODML": functools.partial(qwix.OdmlQatProvider, strict=False)}[whose]
    return qwix.quantize_model(module, provider(rules))


def step(label: str, whose: str, bits: str) -> dict:
    """How long a step takes, of how long a plain one of the same network takes."""
    one, optimizer, size = drawn(label), optax.sgd(0.01, 0.9), _BATCH.get(label, 64)
    pixels = np.random.default_rng(0).integers(0, 256, (size, *one.image_shape), dtype=np.uint8)
    batch = {"image": pixels, "label": np.arange(size) % 10, "id": np.arange(size)}
    channels, calls = one.image_shape[-1], {}
    for name, module in (("plain", one.module), ("few", student(one.module, whose, bits))):
        view = View(mean=(0.5,) * channels, std=(0.5,) * channels)
        objective = Objective(module, {"ce": make_term("ce")}, view=view)
        state = jax.jit(functools.partial(init_state, objective, optimizer, 0))(batch)
        update = jax.jit(make_train_step(objective, optimizer))
        calls[name] = lambda update=update, state=state: jax.block_until_ready(update(state, batch))
    times = in_turn(calls, _ROUNDS)
    return {"plain": min(times["plain"]), "ratio": ratio(times["few"], times["plain"])}


def accuracy(file: str, seed: int, epochs: int) -> dict:
    """Test accuracies of one network that goes on in floats, and in four bits as each library has it."""
    with np.load(file) as stored:
        train, test = (Examples(stored[f"{split}_images"], stored[f"{split}_labels"]) for split in ("train", "test"))
    module, batches = models.create("resnet20", 10), order(seed, epochs, len(train.label))
    gone = round(_FLOATS * len(batches))
    floats = Training(module, len(batches))
    state = floats.train(floats.drawn(seed), train, batches[:gone])
    variables = state.eval_variables
    found = {"floats": floats.accuracy(floats.train(state, train, batches[gone:]).eval_variables, test)}
    for whose, bits in (("effjax", "w4a4"), ("effjax", "w4a4 live"), ("qwix", "w4a4"), ("qwix, ODML", "w4a4")):
        try:
            few = Training(student(module, whose, bits), len(batches), gone)
            if whose == "effjax":
                rows = np.random.default_rng(seed).permutation(len(train.label))[:_CALIBRATED_ON]
                begun = few.module.begin(variables, [np.asarray(VIEW.see({"image": train.image[rows]})["image"])])
            else:  # its weights are those of the network; what it keeps besides is empty
                begun = {**few.drawn(seed).eval_variables, **variables}
            after = few.train(few.given(begun), train, batches[gone:]).eval_variables
            found[f"{whose}, {bits}"] = few.accuracy(after, test)
        except Exception as error:  # whatever it is, it is what is to be told
            found[f"{whose}, {bits}"] = told(error)
    return found


def told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def main() -> None:
    section, *given = sys.argv[1:]
    if section == "accuracy":
        found = accuracy(given[0], int(given[1]), int(given[2]))
    else:
        try:
            found = step(*given)
        except Exception as error:  # the same
            found = {"failed": told(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
