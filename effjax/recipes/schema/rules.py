"""What the value of a key may be, as data: a table of rules says it once, to whoever checks and to whoever reads."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from effjax.errors import nearest, shown
from effjax.models.options import is_pattern

LONG = 2**31 - 1  # what 32 bits hold: steps and examples are counted in them on the device
SEEDS = 2**32
BATCH = 2**20
PIXELS = 16_384
_LONGEST_NAME = 200  # bytes: a folder's may have 255, and what is still being written in it has a longer one
LARGE = 1e9  # what no weight, rate or price comes near


@dataclasses.dataclass(frozen=True)
class Rule:
    """What one value may be.

    Attributes:
      said: how a message says it.
      fits: whether a value is so; it never raises.
      allowed: the names, where it is one of some.
    """

    said: str
    fits: Callable[[Any], bool]
    allowed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Keys:
    """A mapping.

    Attributes:
      nodes: by key.
      optional: whether it may be empty.
      open: whether it may have other keys, which are checked by what they are handed to.
      needs: those that it may not lack.
      of: the class of the schema that says so.
    """

    nodes: Mapping[str, "Node"]
    optional: bool = False
    open: bool = False
    needs: tuple[str, ...] = ()
    of: type = object


@dataclasses.dataclass(frozen=True)
class Each:
    """A mapping from names that the user chooses.

    Attributes:
      node: of each.
      known: by name, for names whose values are others.
    """

    node: "Node"
    known: Mapping[str, "Node"] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Either:
    """A value, or a mapping in its place.

    Attributes:
      rule: of the value.
      keys: of the mapping.
    """

    rule: Rule
    keys: Keys


Node = Rule | Keys | Each | Either


def whole(least: int, most: int) -> Rule:
    """A whole number of a range."""
    return Rule(f"a whole number from {least:,} to {most:,}", lambda v: _is_whole(v) and least <= v <= most)


def number(least: float, most: float, *, above: bool = False, below: bool = False) -> Rule:
    """A number of a range, without its least where it must lie above, without its most where it must lie below."""
    lower = f"above {least:,g}" if above else f"from {least:,g}"
    upper = f"below {most:,g}" if below else f"{most:,g}"
    between = f"{lower} to {upper}" if not above or below else f"{lower}, at most {upper}"

    def fits(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (least < value if above else least <= value) and (value < most if below else value <= most)

    return Rule(f"a number {between}", fits)


def fraction() -> Rule:
    """A number from 0 to 1."""
    return number(0, 1)


def below_one() -> Rule:
    """A number from 0 to below 1."""
    return number(0, 1, below=True)


def flag() -> Rule:
    """True or False."""
    return Rule("True or False", lambda v: isinstance(v, bool))


def text(*, empty: bool = True) -> Rule:
    """Any text."""
    said = "a text" if empty else "a text that is not empty"
    return Rule(said, lambda v: isinstance(v, str) and (empty or bool(v)) and "\0" not in v)


def one_of(*allowed: str) -> Rule:
    """One of some names."""
    return Rule("", lambda v: isinstance(v, str) and v in allowed, tuple(sorted(allowed)))


def matching(pattern: str, said: str) -> Rule:
    """A text of a form."""
    return Rule(said, lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None)


def none() -> Rule:
    """Nothing."""
    return Rule("None", lambda v: v is None)


def pattern() -> Rule:
    """A regular expression."""
    return Rule("a regular expression", is_pattern)


def several(rule: Rule, what: str, *, least: int = 0) -> Rule:
    """A list, each of whose values fits; ``what`` they are, in the plural."""
    said = f"a list of {what}" if least == 0 else f"a list of {least} or more {what}"
    return Rule(said, lambda v: isinstance(v, list | tuple) and len(v) >= least and all(map(rule.fits, v)))


def just(count: int, rule: Rule, what: str) -> Rule:
    """A list of so many values, each of which fits; ``what`` they are, in the plural."""
    return Rule(
        f"a list of {count} {what}",
        lambda v: isinstance(v, list | tuple) and len(v) == count and all(map(rule.fits, v)),
    )


def subset(*allowed: str) -> Rule:
    """A list of some names, each once at most."""
    return Rule(
        f"a list of some of {', '.join(allowed)}",
        lambda v: isinstance(v, list | tuple) and all(one in allowed for one in v) and len(set(v)) == len(v),
    )


def names() -> Rule:
    """A list of names."""
    return several(text(empty=False), "names")


def tuples(rules: Sequence[Rule], said: str) -> Rule:
    """A list of tuples, whose values each fit their rule."""

    def fits(value: Any) -> bool:
        return isinstance(value, list | tuple) and all(
            isinstance(one, list | tuple)
            and len(one) == len(rules)
            and all(rule.fits(part) for rule, part in zip(rules, one, strict=True))
            for one in value
        )

    return Rule(said, fits)


def pieces(rule: Rule, what: str) -> Rule:
    """A plan; where pieces may start, and in what order, the plan itself says best."""
    return tuples((number(-LARGE, LARGE), rule), f"a list of (from which share of the run, {what})")


def any_of(*rules: Rule) -> Rule:
    """What fits one of several."""
    return Rule(", or ".join(rule.said for rule in rules), lambda v: any(rule.fits(v) for rule in rules))


def problems(node: Node, value: Any, where: str) -> Iterator[str]:
    """What is wrong with a value, a line for each mistake.

    Args:
      node: what it must be.
      value: what the user gave.
      where: its key.
    """
    if isinstance(node, Either):
        node = node.keys if isinstance(value, Mapping) else node.rule
    if isinstance(node, Rule):
        if not node.fits(value):
            yield _refusal(node, value, where)
        return
    if not isinstance(value, Mapping):
        yield f"{where}={shown(value)} must be a mapping of keys to values"
        return
    if isinstance(node, Each):
        for key, one in value.items():
            if not _is_name(key):
                yield (
                    f"{where}: {shown(key)} is no name: it must be of letters, digits and the like, without a slash, "
                    f"and at most {_LONGEST_NAME} bytes long"
                )
            else:
                yield from problems(node.known.get(key, node.node), one, f"{where}.{key}")
        return
    if node.optional and not value:
        return
    for key in value if not node.open else ():
        if key not in node.nodes:
            yield f"{where}.{key} is not a key; {nearest(key, node.nodes)}"
    for key, one in node.nodes.items():
        if key in value:
            yield from problems(one, value[key], f"{where}.{key}")
        elif key in node.needs:
            yield f"{where}.{key} is missing"


def _refusal(rule: Rule, value: Any, where: str) -> str:
    if not rule.allowed:
        return f"{where}={shown(value)} must be {rule.said}"
    return f"{where}={shown(value)}; {nearest(value if isinstance(value, str) else shown(value), rule.allowed)}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_name(key: Any) -> bool:
    """Whether a folder can be called so."""
    if not isinstance(key, str) or not key.isprintable() or len(key.encode()) > _LONGEST_NAME:
        return False
    return not set(key) & set("/\\") and key not in ("", ".", "..")
