"""Reading the keys of a config: what is missing, unknown or no number is refused in one line."""

from collections.abc import Iterable
from typing import Any

from effjax.errors import UserError, nearest


def check_variant(variant: str, allowed: Iterable[str]) -> None:
    """Refuses ``--config=file.py:variant`` with a variant that the file does not have.

    Raises:
      UserError: naming the nearest.
    """
    if variant and variant not in allowed:
        raise UserError(f"--config=…:{variant} is not a variant; {nearest(variant, allowed)}")


def take(mapping: dict[str, Any], key: str, where: str) -> Any:
    """Takes a key that must be there out of an open mapping.

    Raises:
      UserError: if it is not there.
    """
    if key not in mapping:
        raise UserError(f"{where}.{key} is missing")
    return mapping.pop(key)


def number(value: Any, where: str) -> float:
    """Refuses what is not a number.

    Raises:
      UserError: naming the key.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}={value!r} must be a number")
    return value
