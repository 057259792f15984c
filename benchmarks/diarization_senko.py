"""senko behind benchmarks/diarization.py: `python diarization_senko.py`, in an environment that has senko."""

import time

import senko
from workers import peak_memory_gib, serve


def main() -> None:
    diarizer = senko.Diarizer(device="cpu", warmup=False, quiet=True)  # on CPUs it detects speech by Silero

    def diarize(path: str) -> dict:
        """Diarize a file of 16 kHz, mono, 16 bits. Seconds are the CPU's, all threads together."""
        started = time.process_time()
        found = diarizer.diarize(path)
        seconds = time.process_time() - started
        turns = [[one["start"], one["end"], one["speaker"]] for one in found["merged_segments"]] if found else []
        return {"turns": turns, "cpu_s": seconds, "peak_gib": peak_memory_gib()}

    serve({"diarize": diarize})


if __name__ == "__main__":
    main()
