"""A disk that is full is said in one line, whatever else was under way."""

import sys
from types import SimpleNamespace

from effjax.runtime import stragglers
from effjax.runtime.checkpoints import Checkpoints


def test_writes_that_end_when_all_is_over_say_nothing(tmp_path, monkeypatch):
    """Where tensorstore's threads find that nobody waits for them any more."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: said.append(str(lost.exc_value)))
    stragglers.ignore_stragglers.cache_clear()
    Checkpoints(tmp_path, {}).close()
    for message in ("Event loop is closed", "another"):
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(message)))
    stragglers.ignore_stragglers.cache_clear()
    assert said == ["another"]
