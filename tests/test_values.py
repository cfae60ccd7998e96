"""Dataclasses are values: nobody changes one that others hold, but for those whose fields become known later."""

import ast
import pathlib

import effjax

ROOT = pathlib.Path(effjax.__file__).parent
KNOWN_LATER = {"Coreset", "Lookup", "Loop", "Pace", "Trainer"}


def dataclasses_of(tree):
    """(name, whether it is frozen) of each."""
    for node in ast.walk(tree):
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            called = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
            options = {k.arg: ast.unparse(k.value) for k in getattr(decorator, "keywords", ())}
            if called in ("dataclass", "dataclasses.dataclass", "struct.dataclass"):  # flax's, the last, always are
                yield node.name, called == "struct.dataclass" or options.get("frozen") == "True"


def test_dataclasses_are_frozen():
    found = [pair for path in ROOT.rglob("*.py") for pair in dataclasses_of(ast.parse(path.read_text()))]
    assert len(found) > 100
    assert {name for name, frozen in found if not frozen} == KNOWN_LATER
