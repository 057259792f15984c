import pytest

from mindvox import processor


@pytest.mark.parametrize(
    ("flags", "variable", "is_limited"),
    [
        ({"avx2", "fma"}, None, True),
        ({"avx2", "avx512f"}, None, False),
        ({"avx2", "avx512f"}, "avx2", True),
        ({"avx2", "avx512f"}, "AVX512_CORE", False),
        ({"asimd"}, None, False),
        (set(), None, False),
    ],
)
def test_the_processor_or_the_variable_keeps_onednn_from_avx512(flags, variable, is_limited, monkeypatch):
    monkeypatch.setattr(processor, "processor_flags", lambda: flags)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if variable:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", variable)
    assert processor.is_limited_to_avx2() is is_limited
