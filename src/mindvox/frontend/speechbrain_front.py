"""SpeechBrain's own features and distortions, behind the interfaces of `fbank` and `distortions`.

They serve `feature_backend: speechbrain`, and as the reference in tests of those two modules. Our generators draw the
random parameters; SpeechBrain's classes get ranges of one value. Requires the extra `speechbrain`.
"""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mindvox.errors import InputError
from mindvox.frontend import fbank

try:
    import torch
    from speechbrain.augment import time_domain
    from speechbrain.lobes.features import Fbank
    from speechbrain.processing.signal_processing import convolve1d, notch_filter
    from speechbrain.processing.signal_processing import reverberate as sb_reverberate
except (ImportError, OSError) as error:  # a torchaudio built for another torch raises OSError
    raise InputError(
        f"feature_backend: speechbrain needs SpeechBrain, torch and torchaudio ({error}): "
        "pip install -e '.[speechbrain]', or set feature_backend: builtin."
    ) from None


class SpeechBrainFbank(fbank.Fbank):
    """The same front end, computed by SpeechBrain's own `Fbank` in single precision.

    Args:
        dtype: no effect.
        settings: see `Fbank.Options`; `amin` and `top_db` must have their defaults, which are fixed in SpeechBrain.
    """

    def __init__(self, dtype: type = np.float32, **settings: Any) -> None:
        super().__init__(dtype, **settings)
        options, fixed = self.options, fbank.Fbank.Options()
        if (options.amin, options.top_db) != (fixed.amin, fixed.top_db):
            raise ValueError(f"SpeechBrain has amin {fixed.amin} and top_db {fixed.top_db}, got {options}.")
        self._fbank = Fbank(
            sample_rate=options.sample_rate,
            f_min=options.f_min,
            f_max=options.f_max,
            n_fft=options.n_fft,
            n_mels=options.n_mels,
            win_length=options.win_length_ms,
            hop_length=options.hop_length_ms,
        )

    def __call__(self, waveform: np.ndarray, rng: Optional[np.random.Generator] = None) -> np.ndarray:
        with torch.no_grad():
            return self._fbank(_tensor(waveform))[0].numpy()


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Like `distortions.add_noise`, computed by AddNoise."""
    module = time_domain.AddNoise(snr_low=snr_db, snr_high=snr_db, noise_funct=lambda _: _tensor(noise).clone())
    return module(_tensor(waveform), torch.ones(1))[0].numpy()


def room_spectrum(response: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the response itself, which SpeechBrain transforms each time."""
    return response


def reverberate(waveform: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Like `distortions.reverberate`, computed by the function that AddReverb calls after it has read a file."""
    return sb_reverberate(_tensor(waveform), torch.from_numpy(response), rescale_amp="avg")[0].numpy()


def change_speed(waveform: np.ndarray, percent: int) -> np.ndarray:
    """Like `distortions.change_speed`, computed by SpeedPerturb."""
    return time_domain.SpeedPerturb(16000, [percent])(_tensor(waveform))[0].numpy()


def drop_frequencies(waveform: np.ndarray, frequencies: Sequence[float], width: float = 0.05) -> np.ndarray:
    """Like `distortions.drop_frequencies`, computed by two functions of DropFreq, which draws frequencies itself."""
    taps = torch.zeros(1, 101, 1)
    taps[0, 50, 0] = 1
    for frequency in frequencies:
        taps = convolve1d(taps, notch_filter(torch.tensor(float(frequency)), 101, width), 50)
    return convolve1d(_tensor(waveform)[..., None], taps, 50)[0, :, 0].numpy()


def drop_chunks(waveform: np.ndarray, starts: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    """Like `distortions.drop_chunks`, computed by DropChunk once for each chunk."""
    tensor = _tensor(waveform)
    for start, length in zip(map(int, starts), map(int, lengths), strict=True):
        stop = min(start + length, tensor.shape[1])
        tensor = time_domain.DropChunk(length, length, 1, 1, drop_start=start, drop_end=stop)(tensor, torch.ones(1))
    return tensor[0].numpy()


def set_peak(waveform: np.ndarray, peak: float) -> np.ndarray:
    """Like `distortions.set_peak`, computed by RandAmp."""
    return time_domain.RandAmp(amp_low=peak, amp_high=peak)(_tensor(waveform))[0].numpy()


def clip_peaks(waveform: np.ndarray, share: float) -> np.ndarray:
    """Like `distortions.clip_peaks`, computed by DoClip."""
    return time_domain.DoClip(clip_low=share, clip_high=share)(_tensor(waveform))[0].numpy()


def _tensor(waveform: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(np.ascontiguousarray(waveform, np.float32))[None]
