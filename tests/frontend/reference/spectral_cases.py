"""Front ends of other toolkits, by name, as `MelSpectrogram`, `Mfcc` and `Spectrogram` have them; docs/data.md too."""

from typing import Any

import numpy as np

VOXCELEB_TRAINER: dict[str, Any] = {
    **{"n_mels": 40, "n_fft": 512, "hop_length_ms": 10.0, "window": "hamming"},
    **{"log": "natural", "offset": 1e-6, "normalisation": "instance"},
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mvector_mel": ("mel_spectrogram", {}),
    "mvector_spectrogram": ("spectrogram", {}),
    "mvector_mfcc": ("mfcc", {}),
    "resnetse34l": ("mel_spectrogram", VOXCELEB_TRAINER),
    "resnetse34l_nolog": ("mel_spectrogram", {**VOXCELEB_TRAINER, "log": "none"}),
    "resnetse34l_int16": ("mel_spectrogram", {**VOXCELEB_TRAINER, "waveform_scale": 32768.0}),
    "resnetse34v2": ("mel_spectrogram", {**VOXCELEB_TRAINER, "n_mels": 64, "preemphasis": 0.97}),
    "vggvox": ("mel_spectrogram", {**VOXCELEB_TRAINER, "window": "hann"}),
    "resemblyzer": (
        "mel_spectrogram",
        {
            **{"n_mels": 40, "hop_length_ms": 10.0, "padding": "zero", "mel_scale": "slaney", "mel_norm": "slaney"},
            **{"normalisation": "none"},
        },
    ),
    "joovvhan": (  # the 310P guide's: tacotron2's mel, whose logarithms -12 to 0 become -1 to 1
        "mel_spectrogram",
        {
            **{"n_mels": 80, "hop_length_ms": 10.0, "power": 1.0, "mel_scale": "slaney", "mel_norm": "slaney"},
            **{"log": "natural", "floor": 1e-5, "feature_scale": 1 / 6, "feature_shift": 1.0, "normalisation": "none"},
        },
    ),
    "log_mfcc": ("mfcc", {"n_mfcc": 20, "n_mels": 64, "log": "natural", "floor": 0.0, "offset": 1e-6, "top_db": 0.0}),
    "magnitude_db": (
        "spectrogram",
        {
            **{"n_fft": 256, "win_length_ms": 15.0, "hop_length_ms": 5.0, "power": 1.0, "log": "db", "floor": 1e-5},
            **{"top_db": 60.0},
        },
    ),
}
WAVEFORMS = ("noise_400", "noise_16000", "half_silence", "square_100")


def stored_rows(num_frames: int) -> np.ndarray:
    """Return the indices of the frames that are stored of a waveform: those at the edges, and a few between."""
    rows = np.linspace(2, num_frames - 3, 5).astype(int)
    return np.unique(np.concatenate(([0, 1], np.clip(rows, 0, num_frames - 1), [num_frames - 2, num_frames - 1])))
