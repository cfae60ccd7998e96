"""A sample of the campaign: every recipe, stopped in each way, ends with the bytes of one that was not."""

import subprocess
import sys

import pytest
from processes import REPOSITORY

from tests.faults.campaign import RECIPES


@pytest.mark.parametrize("recipe", RECIPES)
def test_stops_leave_no_trace(recipe, tmp_path, data_dir):
    command = [sys.executable, "-m", "tests.faults.campaign", f"--only={recipe}", "--every=1000"]
    command += [
        f"--offset={8 if recipe == 'data' else 40}",
        "--jobs=1",
        f"--state={tmp_path}",
        f"--data_dir={data_dir}",
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    total = done.stdout.splitlines()[-1]
    assert total.startswith("| all | | 3 | ")
    assert total.endswith("| 0 |")
