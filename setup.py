"""The packages: effjax, and the folder launch inside of it, where the command `effjax` finds the launchers."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["effjax*"]), "effjax.launch"], package_dir={"effjax.launch": "launch"}
)
