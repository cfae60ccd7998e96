"""Pools that several devices share: the picks of one device, and a message a pass."""

import os
import subprocess
import sys
from pathlib import Path


def test_eight_devices_pick_what_one_picks_and_send_one_message_a_pass():
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8",
    }
    script = Path(__file__).with_name("divided_pools.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    *_, size = done.stdout.split()
    assert int(size) < 3072 / 8 * (24 * 4 + 1 + 4) + 128 * 24 * 4 + 100
