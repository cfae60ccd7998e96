"""Run by test_divided_pools.py in a process that has eight devices: pools that they share."""

import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from effjax import selection
from effjax.selection import k_center

DEVICES = jax.devices()
assert len(DEVICES) == 8

rng = np.random.default_rng(0)
features = rng.normal(3.0, 1.0, (3000, 24)).astype(np.float32)
labelled = rng.choice(3000, 70, replace=False)

for count, given, k in ((8, None, 400), (6, labelled, 400), (8, features[labelled], 5)):
    alone = selection.k_center_greedy(features, k, given)
    shared = selection.k_center_greedy(features, k, given, devices=DEVICES[:count])
    assert shared.tolist() == alone.tolist(), (count, k)

# Many equal distances, exact as all their numbers are: by lot, wherever an example lies.
twice = np.repeat(rng.integers(0, 4, (256, 6)), 4, 0).astype(np.float32)
alone = selection.k_center_greedy(twice, 1000)
assert selection.k_center_greedy(twice, 1000, devices=DEVICES).tolist() == alone.tolist()
few = features[:9]
assert selection.k_center_greedy(few, 9, devices=DEVICES).tolist() == selection.k_center_greedy(few, 9).tolist()

shapes = [jnp.zeros((3072, 24)), jnp.zeros(3072, bool), jnp.zeros(3072, jnp.uint32), jnp.zeros((128, 24))]
program = k_center._greedy_in_parts.lower(*shapes, 400, Mesh(np.asarray(DEVICES), (k_center._PARTS,))).compile()
kinds = re.findall(r" (all-reduce|all-gather|all-to-all|collective-permute)(?:-start)?\(", program.as_text())
# The candidates of a pass; the mean and what it is of, once.
assert sorted(kinds) == ["all-gather", "all-reduce", "all-reduce"], kinds
print("arguments of a device", program.memory_analysis().argument_size_in_bytes)
