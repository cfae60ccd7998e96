"""How a class of the schema says of each key what it may be, what it is by default, and what it means.

The classes (:mod:`experiment_keys`, :mod:`run_keys`, :mod:`term_keys`, :mod:`example_keys`, :mod:`loop_keys`) are the
only description of a config there is.
From them come the configs (:mod:`configs`), the check of every key (:mod:`rules`), what of a run makes it the run that
it is (:mod:`effjax.recipes.build.identity`), and the table in docs/configs.md (:mod:`table`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from effjax.recipes.schema.rules import Each, Either, Keys, Node

ABSENT: Any = object()  #: the value of a key that a config need not have


def key(default: Any, node: Node, doc: str) -> Any:
    """A key with a default.

    Args:
      default: its value in a config that does not say it; a mapping where there is none yet is None.
      node: what it may be.
      doc: what it means, for the table of keys.
    """
    metadata = {"node": node, "doc": doc}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def needed(node: Node, doc: str) -> Any:
    """A key without a default."""
    return dataclasses.field(metadata={"node": node, "doc": doc})


def maybe(node: Node, doc: str) -> Any:
    """A key that a config need not have: whoever reads it has a default of its own."""
    return key(ABSENT, node, doc)


def part(cls: type, doc: str) -> Any:
    """A mapping of the keys of another class, each at its default."""
    return dataclasses.field(default_factory=cls, metadata={"node": keys_of(cls), "doc": doc})


def keys_of(cls: type, *, optional: bool = False) -> Keys:
    """What a mapping with the keys of a class may be.

    Args:
      cls: the class; where it says ``OPEN = True``, there may be other keys too.
      optional: whether the mapping may be empty.
    """
    fields = dataclasses.fields(cls)
    nodes = {field.name: field.metadata["node"] for field in fields}
    needs = tuple(field.name for field in fields if field.default is not ABSENT)
    return Keys(nodes, optional=optional, open=getattr(cls, "OPEN", False), needs=needs, of=cls)


def plain(value: Any) -> Any:
    """What an instance of a class of the schema is in a config: nested mappings, without what need not be there."""
    if dataclasses.is_dataclass(value):
        given = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(one) for name, one in given.items() if one is not ABSENT}
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return {} if value is None else value


def completed(node: Node, value: Any) -> Any:
    """A part of a config that an earlier version wrote, with the keys that came since, at their defaults.

    Args:
      node: what the part may be.
      value: the part, plain. What is empty stays so: it says that there is none.
    """
    if not isinstance(value, Mapping) or not value:
        return value
    if isinstance(node, Either):
        return completed(node.keys, value)
    if isinstance(node, Each):
        return {name: completed(node.known.get(name, node.node), one) for name, one in value.items()}
    if not isinstance(node, Keys):
        return value
    known = {name: completed(node.nodes[name], one) if name in node.nodes else one for name, one in value.items()}
    return {**_defaults(node.of), **known}


def _defaults(cls: type) -> dict[str, Any]:
    """The plain defaults of the keys that have one."""
    fields = dataclasses.fields(cls)
    made = {f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory() for f in fields}
    return {name: plain(one) for name, one in made.items() if one is not ABSENT and one is not dataclasses.MISSING}
