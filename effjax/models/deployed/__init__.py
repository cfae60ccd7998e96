"""What of a network is deployed: a graph of a few operations, in floats or in few bits."""

from effjax.models.deployed.graph import Folded, Graph, Node
from effjax.models.deployed.module import QuantizedModule, deploy
from effjax.models.deployed.points import Scheme
from effjax.models.deployed.quantized import Codes, QuantizedGraph, calibrated

__all__ = ["Codes", "Folded", "Graph", "Node", "QuantizedGraph", "QuantizedModule", "Scheme", "calibrated", "deploy"]
