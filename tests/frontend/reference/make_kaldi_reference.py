"""Make kaldi_fbank_reference.npz: kaldi-native-fbank's features of waveforms in signals.py, without dither.

Run from the root of the project, with kaldi-native-fbank 1.23.0 and NumPy installed:

    PYTHONPATH=src:. python tests/frontend/reference/make_kaldi_reference.py
"""

from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import numpy as np

from tests.frontend.reference.kaldi_cases import CASES, WAVEFORMS
from tests.frontend.reference.signals import SAMPLE_RATE, stored_frames, synthetic_waveforms


def features(waveform: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Return the features (T, F) of a waveform, in Kaldi's single precision."""
    options = knf.FbankOptions()
    frames, mel = options.frame_opts, options.mel_opts
    frames.dither = 0
    frames.window_type = settings.get("window", "povey")
    frames.frame_length_ms = settings.get("win_length_ms", 25.0)
    frames.frame_shift_ms = settings.get("hop_length_ms", 10.0)
    frames.preemph_coeff = settings.get("preemphasis", 0.97)
    mel.num_bins = settings.get("n_mels", 80)
    mel.low_freq = settings.get("f_min", 20.0)
    mel.high_freq = settings.get("f_max", 8000.0)
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(SAMPLE_RATE, (waveform * settings.get("waveform_scale", 1.0)).tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(index) for index in range(fbank.num_frames_ready)])


def main() -> None:
    """Write the file beside this script."""
    waveforms, arrays = synthetic_waveforms(), {}
    for case, settings in CASES.items():
        for name in WAVEFORMS:
            feats = features(waveforms[name], settings)
            arrays[f"{case}/{name}"] = feats[stored_frames(name, len(feats))]
    np.savez_compressed(Path(__file__).with_name("kaldi_fbank_reference.npz"), **arrays)


if __name__ == "__main__":
    main()
