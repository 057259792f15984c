"""Make spectral_reference.npz: features of waveforms in signals.py by torchaudio and librosa, in double precision.

Run from the root of the project, with torch 2.13.0, torchaudio 2.11.0, librosa 0.11.0 and NumPy installed:

    PYTHONPATH=src:. python tests/frontend/reference/make_spectral_reference.py

What voxceleb_trainer and Joovvhan/ECAPA-TDNN (with NVIDIA's tacotron2) do around these is written out here.
"""

from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import torch
import torchaudio

from tests.frontend.reference.signals import SAMPLE_RATE, synthetic_waveforms
from tests.frontend.reference.spectral_cases import CASES, WAVEFORMS, stored_rows

Features = Callable[[np.ndarray], np.ndarray]


def transform(name: str, **settings: object) -> Features:
    """Return one of torchaudio's transforms as a function: (N,) to (T, F)."""
    module = getattr(torchaudio.transforms, name)(**settings).double()
    return lambda waveform: module(torch.from_numpy(waveform)).numpy().T


def trainer(n_mels: int, window: str, emphasis: float = 0.0, scale: float = 1.0, takes_log: bool = True) -> Features:
    """Return voxceleb_trainer's mel before its instance norm."""
    mel = transform(
        "MelSpectrogram",
        **{"sample_rate": SAMPLE_RATE, "n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": n_mels},
        window_fn=getattr(torch, f"{window}_window"),
    )

    def features(waveform: np.ndarray) -> np.ndarray:
        waveform = waveform * scale
        mirrored = np.concatenate((waveform[1:2], waveform[:-1]))
        feats = mel(waveform - emphasis * mirrored) + 1e-6
        return np.log(feats) if takes_log else feats

    return features


def resemblyzer(waveform: np.ndarray) -> np.ndarray:
    """Return librosa's mel with Resemblyzer's settings."""
    return librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=400, hop_length=160, n_mels=40).T


def joovvhan(waveform: np.ndarray) -> np.ndarray:
    """Return tacotron2's logarithms of a mel of magnitudes, normalised from -12..0 to -1..1."""
    spectrum = librosa.stft(waveform, n_fft=400, hop_length=160, win_length=400, window="hann", pad_mode="reflect")
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=400, n_mels=80, fmin=0.0, fmax=8000.0, dtype=np.float64)
    return np.log(np.maximum(filters @ np.abs(spectrum), 1e-5)).T / 6 + 1


def magnitude_db(waveform: np.ndarray) -> np.ndarray:
    """Return torchaudio's dB of a magnitude spectrogram."""
    spectrum = torchaudio.transforms.Spectrogram(n_fft=256, win_length=240, hop_length=80, power=1.0).double()
    magnitude = spectrum(torch.from_numpy(waveform))
    return torchaudio.functional.amplitude_to_DB(magnitude, 20.0, 1e-5, 0.0, top_db=60.0).numpy().T


PEERS: dict[str, Features] = {
    "mvector_mel": transform("MelSpectrogram"),
    "mvector_spectrogram": transform("Spectrogram"),
    "mvector_mfcc": transform("MFCC"),
    "resnetse34l": trainer(40, "hamming"),
    "resnetse34l_nolog": trainer(40, "hamming", takes_log=False),
    "resnetse34l_int16": trainer(40, "hamming", scale=32768.0),
    "resnetse34v2": trainer(64, "hamming", emphasis=0.97),
    "vggvox": trainer(40, "hann"),
    "resemblyzer": resemblyzer,
    "joovvhan": joovvhan,
    "log_mfcc": transform("MFCC", n_mfcc=20, log_mels=True, melkwargs={"n_mels": 64}),
    "magnitude_db": magnitude_db,
}


def main() -> None:
    """Write the file beside this script."""
    waveforms, arrays = synthetic_waveforms(), {}
    for case, features in PEERS.items():
        for name in WAVEFORMS:
            feats = features(waveforms[name].astype(np.float64))
            rows = stored_rows(len(feats))
            arrays[f"{case}/{name}"] = feats[rows].astype(np.float32)
            if CASES[case][1].get("normalisation") == "instance":
                norm = torch.nn.InstanceNorm1d(feats.shape[1])
                finished = norm(torch.from_numpy(feats.T.copy())[None])[0].numpy().T
                arrays[f"{case}/{name}/finished"] = finished[rows].astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("spectral_reference.npz"), **arrays)


if __name__ == "__main__":
    main()
