"""Keep freed activations in the process: on Linux a forward pass otherwise spends half its time on page faults.

glibc hands large blocks back to the kernel as soon as they are freed and asks for them anew, zeroed page by
page, for the next photo. This is a setting of the whole process, so the command line makes it and a library
user may; importing geofix never does.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER_TRIM_BYTES = 2**31 - 1
_kept = False


def freed_memory_is_kept() -> bool:
    """Whether `keep_freed_memory` was called in this process and the system agreed."""
    return _kept


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed; returns whether it agreed (False elsewhere than on Linux with glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    global _kept
    _kept = bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM_BYTES))
    return _kept
