"""Headers that many builds include, compiled once a process: g++ takes the compiled form for the same flags."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

SHIMS = Path(__file__).parent / "shims"


@lru_cache(maxsize=8)
def precompiled(header: Path, flags: str) -> Path:
    """A copy of a header with its compiled form beside it."""
    folder = Path(tempfile.mkdtemp(prefix="squat-header-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = Path(shutil.copy(header, folder))
    compiler = os.environ.get("CXX", "g++")
    given = [compiler, "-std=c++14", *flags.split(), "-x", "c++-header", str(copy), "-o", f"{copy}.gch"]
    subprocess.run(given, check=True, capture_output=True)
    return copy


def quickly(target: str) -> list[str]:
    """What `make` of an HLS project is told, so that builds take a half of their time.

    Sanitizers watch all the more what is not optimised.
    """
    if target == "sanitize":
        return ["SANITIZED=-O0"]
    if target != "csim-ap":
        return []
    found = importlib.util.find_spec("da4ml")
    if found is None or found.origin is None:
        pytest.skip("da4ml (ap_int headers) is not here")
    include = Path(found.origin).parent / "codegen/hls/source/ap_types/include"
    flags = os.environ.get("CXXFLAGS", "-O1")
    return [f"CXXFLAGS={flags} -include {precompiled(SHIMS / 'ap_first.h', f'{flags} -isystem {include}')}"]
