"""Runs commands of yosys, a line each from the standard input, in a process of its own: native code that can be ended.

It is run as a file, and imports nothing but `pyosys`.
"""

import sys

from pyosys import libyosys

design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line, design)
