"""How large a network may be, for files of others and for every executor."""

from __future__ import annotations

MAX_RANK = 8  # sizes of one sample
MAX_NEURONS = 65_535  # an event carries a 16-bit index
MAX_PATCH_VALUES = 2**25  # what a sample of a convolution takes in memory
MAX_VALUES = 2**20  # between synapses and neurons
MAX_SUM = 2**47
MAX_STATES = 1024
MAX_BOUNDARIES = 255  # of one state
MAX_FRACTION_BITS = 28  # of the keys of two-state neurons
MAX_KEY = 2**44  # of these keys
MAX_INPUTS = 2**24  # of one sample and step
MAX_NAME = 1024
MAX_STEPS = 2**16 - 1  # of one sequence
