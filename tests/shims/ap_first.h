// What every project includes in its build with ap_int, to be compiled once (`precompiled.py`).
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <deque>

#include <ap_int.h>
