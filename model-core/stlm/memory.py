"""Keeps the C library from giving memory back between training steps."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Lets glibc reuse the memory of large tensors. By default each is mapped and unmapped again, every page of it cleared by the
    kernel: a third of the processor time of a CPU training step, which took 15 % longer (LOG.md, 2026-11-24). Elsewhere nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
