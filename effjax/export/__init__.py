"""Trained networks as files that other runtimes execute."""

from effjax.export.measure import Latency, latencies
from effjax.export.package import DeployedModel, read_description, write_package
from effjax.export.sessions import onnx_session

__all__ = ["DeployedModel", "Latency", "latencies", "onnx_session", "read_description", "write_package"]
