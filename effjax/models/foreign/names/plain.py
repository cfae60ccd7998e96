"""Networks without shortcuts: RepDistiller's VGGs."""

from effjax.models.foreign.names.scheme import Path, Scheme, leaf, number


def _cifar_vgg(path: Path, _block: int) -> str:
    """It numbers what is in a block, non-linearities too."""
    module = path[0]
    if module == "classifier":
        return f"classifier.{leaf(path)}"
    block, layer = module.split("_")
    return f"block{number(block) - 1}.{3 * (number(layer) - 1) + layer.startswith('norm')}.{leaf(path)}"


#: https://github.com/HobbitLong/RepDistiller/blob/master/models/vgg.py
CIFAR_VGG = Scheme(_cifar_vgg)
