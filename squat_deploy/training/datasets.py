"""Fashion-MNIST from its IDX files: a folder that the user names, the Debian package, or a download."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import DatasetError

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_MIRROR = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CONTENT_MD5 = {  # of the unpacked bytes, which packagers do not change (their .gz files differ)
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
