"""Trained networks as files that other runtimes execute."""

from effjax.export.package import DeployedModel, read_description, write_package
from effjax.export.sessions import onnx_session

__all__ = ["DeployedModel", "onnx_session", "read_description", "write_package"]
