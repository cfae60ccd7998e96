"""All that the packages export, with every default: what a change would alter for those who import effjax.

  .venv/bin/python -m tests.interface > tests/interface.txt

A default is a number of the results, like any other: who writes ``mixup(key, images)`` trains otherwise
when it changes. So a changed line is meant, and CHANGELOG.md says it, or it is a defect.
"""

import dataclasses
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator

from flax import linen as nn

import effjax

PACKAGES = sorted([*effjax.__all__, "export", "runtime"])


def interface() -> Iterator[str]:
    """A line for each name that a package exports: of functions and classes, what they are called with."""
    for package in PACKAGES:
        module = importlib.import_module(f"effjax.{package}")
        for name in sorted(module.__all__):
            yield from exported(f"{package}.{name}", getattr(module, name))


def exported(name: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):  # a registry, whose entries are named in configs
        for key, entry in value.items():
            yield from exported(f"{name}[{key!r}]", entry)
    elif inspect.ismodule(value):
        yield f"{name}: module"
    elif not callable(value):
        yield f"{name} = {value_text(value)}"
    elif not getattr(value, "__module__", "").startswith("effjax"):
        yield f"{name} = {value_text(value)}, of another library"
    elif inspect.isclass(value) and issubclass(value, BaseException):
        yield f"{name}: error"
    elif getattr(value, "_is_protocol", False):
        yield f"{name}: protocol"
        yield from _methods(name, value)
    else:
        yield f"{name}({call_text(value)})"
        if inspect.isclass(value):
            yield from _methods(name, value)


def _methods(name: str, of: type) -> Iterator[str]:
    for method, function in inspect.getmembers(of, inspect.isfunction):
        if not method.startswith("_") and function.__module__ == of.__module__:
            yield f"{name}.{method}({call_text(function)})"


def call_text(function: Callable) -> str:
    """The parameters with their defaults, without types, and without those that flax gives to every module."""
    texts = []
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(function) and issubclass(function, nn.Module):
        parameters = [parameter for parameter in parameters if parameter.name not in ("parent", "name")]
    starred = any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters)
    for parameter in parameters:
        if parameter.kind == parameter.KEYWORD_ONLY and not starred:
            texts.append("*")
            starred = True
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={value_text(parameter.default)}"
        texts.append(f"{stars}{parameter.name}{default}")
    return ", ".join(texts)


def value_text(value: object) -> str:
    """A value as one would write it, the same in every version of Python and JAX."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {value_text(each)}" for key, each in value.items()) + "}"
    if type(value) is tuple:
        return "(" + ", ".join(map(value_text, value)) + ("," if len(value) == 1 else "") + ")"
    if (named := _fields(value)) is not None:
        return f"{type(value).__name__}({', '.join(f'{name}={value_text(field)}' for name, field in named.items())})"
    if hasattr(value, "__name__"):  # functions and types, whose representations have addresses
        return str(value.__name__)
    return repr(value)


def _fields(value: object) -> dict[str, object] | None:
    """The fields of a named tuple or of a dataclass, by name."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def wrapped(line: str) -> str:
    return textwrap.fill(line, 118, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    print("\n".join(map(wrapped, interface())))
