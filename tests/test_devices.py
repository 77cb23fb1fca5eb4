"""What is trained and lowered on another device, in a process of its own: torch never forgets a device."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT


def test_all_of_it_passes_on_a_device() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/on_devices.py"]
    ended = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]
