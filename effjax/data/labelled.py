"""The part of a pool that has been labelled, with what was said of it in place of the pool's own labels."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.data.base import MappedSource, Source, Subset
from effjax.errors import UserError
from effjax.specs import Spec


def labelled(pool: Source, targets: Mapping[int, Mapping[str, Any]], specs: Mapping[str, Spec]) -> Subset:
    """The examples that have targets, in their order. Nothing of the pool's own targets shines through.

    Args:
      pool: any source; global ids stay.
      targets: by global id, what is to be learnt of the example, by feature.
      specs: of these features; those of differing length say how many entries have room.

    Raises:
      ValueError: for an id that the pool does not have.
      UserError: if a target has more entries than there is room for.
    """
    ids = np.fromiter(targets, np.int64, len(targets))
    part = Subset(pool, ids)
    row_of = np.full(len(part.source), -1)
    row_of[ids] = np.arange(len(ids))
    changes = {}
    for name, spec in specs.items():
        values = [_filled(spec, name, target[name]) for target in targets.values()]
        values = np.array(values, spec.dtype).reshape(-1, *spec.shape)
        changes[name] = functools.partial(_target_of, values, row_of)
    return part.of(MappedSource(part.source, changes, specs=specs))


def _filled(spec: Spec, name: str, value: Any) -> Any:
    if spec.padding is None:
        return value
    try:
        return spec.padded(np.asarray(value, spec.dtype))
    except ValueError as error:
        raise UserError(f"an answer's {name!r}: {error}: make room by config.data.padded") from error


def _target_of(values: np.ndarray, row_of: np.ndarray, stored: np.ndarray | None, ids: np.ndarray) -> np.ndarray:
    return values[row_of[ids]]
