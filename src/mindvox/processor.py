"""What the processor of this machine can do."""

import functools
import os
from pathlib import Path

WITHOUT_AVX512 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2"}
"""Values of ONEDNN_MAX_CPU_ISA with which oneDNN, and so MindSpore, uses no AVX-512."""


@functools.cache  # each layer of a network asks
def processor_flags() -> frozenset[str]:
    """Return the features of the processor by Linux's names; empty if the system does not report them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    named = [line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))]
    return frozenset(named[0].split()) if named else frozenset()


def is_limited_to_avx2() -> bool:
    """Return whether oneDNN uses AVX2 but not AVX-512, because of the processor or of ONEDNN_MAX_CPU_ISA.

    False if the processor is unknown.
    """
    flags = processor_flags()
    if "avx2" not in flags:
        return False
    return "avx512f" not in flags or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_AVX512
