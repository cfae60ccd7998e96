"""A sample of the campaign: every recipe, stopped in each way, ends with the bytes of one that was not."""

import sys

import pytest

from tests.faults.campaign import RECIPES, main


@pytest.mark.parametrize("recipe", RECIPES)
def test_stops_leave_no_trace(recipe, tmp_path, data_dir, monkeypatch, capsys):
    given = [f"--only={recipe}", "--every=1000", f"--offset={8 if recipe == 'data' else 40}", "--jobs=1"]
    monkeypatch.setattr(sys, "argv", ["campaign", *given, f"--state={tmp_path}", f"--data_dir={data_dir}"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().out
    assert not ended.value.code, said[-4000:]
    total = said.splitlines()[-1]
    assert total.startswith("| all | | 3 | ")
    assert total.endswith("| 0 |")
