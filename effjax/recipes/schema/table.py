"""The table of all keys, docs/configs.md, from the classes of the schema.

python -m effjax.recipes.schema.table > docs/configs.md
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from effjax.recipes.schema.example_keys import Coreset, Pacing, Selection, Weighting
from effjax.recipes.schema.experiment_keys import Experiment, Export
from effjax.recipes.schema.fields import ABSENT, keys_of, plain
from effjax.recipes.schema.loop_keys import Outliers, Query, Stream
from effjax.recipes.schema.rules import Each, Either, Keys, Node
from effjax.recipes.schema.run_keys import Rewind, Teacher

_HEAD = """\
# Every key of a config

A config is a Python file with a function `get_config()` that starts from `schema.experiment()`; any key can be set from
the command line, `--config.runs.student.batch_size=32`. A key that is not here is refused, and so is a value that is
not what it may be: one line names the key, the value and what is allowed. This page is made from the schema:
`python -m effjax.recipes.schema.table > docs/configs.md`.
"""
#: What makes the mappings that a config does not have from the start.
_MADE_BY = {
    Export: "schema.export",
    Pacing: "schema.paced",
    Coreset: "schema.coreset",
    Weighting: "schema.weighting",
    Selection: "schema.selection",
    Rewind: "schema.rewound",
    Query: "schema.query",
    Outliers: "schema.outliers",
    Stream: "schema.stream",
    Teacher: "schema.teacher_of_run, teacher_of_checkpoint, teacher_of_weights and teacher_of_function",
}


def markdown() -> str:
    """The page."""
    lines = (line for keys in _in_order(keys_of(Experiment)) for line in _section(keys))
    return "\n".join([_HEAD, *lines])


def _in_order(node: Node, seen: set[type] | None = None) -> Iterator[Keys]:
    """A class and those that its keys are made of, each once."""
    seen = set() if seen is None else seen
    if isinstance(node, Each):
        yield from _in_order(node.node, seen)
    elif isinstance(node, Either):
        yield from _in_order(node.keys, seen)
    elif isinstance(node, Keys) and node.of not in seen:
        seen.add(node.of)
        yield node
        for one in node.nodes.values():
            yield from _in_order(one, seen)


def _section(keys: Keys) -> Iterator[str]:
    cls: Any = keys.of
    made = f" Made by `{_MADE_BY[cls]}`." if cls in _MADE_BY else ""
    yield from (f"## {cls.__name__}", "", f"{cls.__doc__}{made}", "")
    yield from ("| key | by default | may be | what it means |", "|---|---|---|---|")
    for field in dataclasses.fields(cls):
        cells = (f"`{field.name}`", _default(field), _allowed(field.metadata["node"]), field.metadata["doc"])
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""


def _default(field: dataclasses.Field) -> str:
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value is dataclasses.MISSING:
        return "must be given"
    return "" if value is ABSENT or dataclasses.is_dataclass(value) else f"`{plain(value)!r}`"


def _allowed(node: Node) -> str:
    if isinstance(node, Either):
        return f"{_allowed(node.rule)}, or a [{node.keys.of.__name__}](#{node.keys.of.__name__.lower()})"
    if isinstance(node, Keys):
        return f"[{node.of.__name__}](#{node.of.__name__.lower()})" + (", or empty" if node.optional else "")
    if isinstance(node, Each):
        known = (f"<br>`{name}`: {_allowed(one)}" for name, one in node.known.items())
        return f"by name, {_allowed(node.node)}{''.join(known)}"
    return ", ".join(f"`{one}`" for one in node.allowed) if node.allowed else node.said


if __name__ == "__main__":
    print(markdown(), end="")
