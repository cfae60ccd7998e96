"""Vision models in flax.linen, by name.

>>> module = create("resnet20", 10, taps=("stage3/block3",))
>>> variables = init(module, jax.random.key(0), (32, 32, 3))
>>> outputs = module.apply(variables, images)
>>> outputs.logits, outputs.taps["stage3/block3"]
"""

from effjax.models.convolutions import CONVOLUTIONS, computed_by
from effjax.models.count import count_params, flops
from effjax.models.deployed import Graph, QuantizedModule, Scheme, deploy
from effjax.models.deployed.channels import channel_groups
from effjax.models.deployed.joined import joined, laid_out
from effjax.models.foreign import load_foreign
from effjax.models.init import init
from effjax.models.layers import Classifier
from effjax.models.narrow import Narrow
from effjax.models.registry import NAMES, create, options
from effjax.models.taps import Outputs, params_up_to, tap_paths

__all__ = [
    "CONVOLUTIONS",
    "NAMES",
    "Classifier",
    "Graph",
    "Narrow",
    "Outputs",
    "QuantizedModule",
    "Scheme",
    "channel_groups",
    "computed_by",
    "count_params",
    "create",
    "deploy",
    "flops",
    "init",
    "joined",
    "laid_out",
    "load_foreign",
    "options",
    "params_up_to",
    "tap_paths",
]
