"""Front ends whose numbers kaldi_fbank_reference.npz holds, by name."""

from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "3d_speaker": {},
    "wespeaker": {"window": "hamming", "waveform_scale": 32768.0},
    "other": {
        **{"n_mels": 40, "win_length_ms": 20.0, "hop_length_ms": 5.0, "f_min": 0.0, "f_max": 7600.0},
        **{"preemphasis": 0.5, "waveform_scale": 32768.0},
    },
}
WAVEFORMS = ("noise_400", "noise_559", "noise_16000", "noise_48001", "half_silence", "square_100", "chirp", "impulse")
