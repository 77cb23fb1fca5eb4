"""Rules of Vitis HLS that no compiler here checks, held by reading the emitted C++ with libclang."""
