"""The datasets that effjax brings along, by name. A builder's module is imported only when its dataset is prepared."""

import importlib
from typing import Any

_CLASSES = {
    "digits": "digits:Digits",
    "solar_cells": "solar_cells:SolarCells",
    "shapes_basic": "shapes:ShapesBasic",
    "shapes_geom": "shapes:ShapesGeom",
    "digit_questions": "digit_questions:DigitQuestions",
    "easy_vqa": "easy_vqa:EasyVqa",
    "digit_canvases": "digit_canvases:DigitCanvases",
    "nuclei": "nuclei:Nuclei",
    "solar_modules": "solar_modules:SolarModules",
}

NAMES = tuple(_CLASSES)


def builder_class(name: str) -> Any:
    """Returns the ``tfds.core.GeneratorBasedBuilder`` subclass of one of ``NAMES``."""
    module, cls = _CLASSES[name].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), cls)
