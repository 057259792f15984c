"""The networks of networks.py and runtimes.py in PyTorch: SpeechBrain's or speakerlab's, else written here.

Those written here have the layers and sizes of the published networks; they are for timing, and hold random weights.
"""

import math

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.3


class SEBlock(nn.Module):
    """voxceleb_trainer's residual block with squeeze-excitation."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.down, self.up = nn.Linear(channels, channels // 8), nn.Linear(channels // 8, channels)
        self.shortcut = None
        if stride > 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(self.norm1(functional.relu(self.conv1(x)))))
        gate = torch.sigmoid(self.up(functional.relu(self.down(y.mean((2, 3))))))
        return functional.relu(y * gate[:, :, None, None] + (x if self.shortcut is None else self.shortcut(x)))


class ResNetSE34V2(nn.Module):
    """voxceleb_trainer's network: 32 to 256 channels, 3, 4, 6 and 3 blocks, attentive statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32)
        blocks, in_channels = [], 32
        for channels, depth, stride in ((32, 3, 1), (64, 4, 2), (128, 6, 2), (256, 3, 2)):
            for index in range(depth):
                blocks.append(SEBlock(in_channels, channels, stride if index == 0 else 1))
                in_channels = channels
        self.blocks = nn.Sequential(*blocks)
        rows = 256 * 8
        self.attention = nn.Sequential(
            nn.Conv1d(rows, 128, 1), nn.ReLU(), nn.BatchNorm1d(128), nn.Conv1d(128, rows, 1), nn.Softmax(2)
        )
        self.linear = nn.Linear(2 * rows, 512)

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        x = self.norm(functional.relu(self.conv(feats.transpose(1, 2).unsqueeze(1))))
        x = self.blocks(x).flatten(1, 2)
        weight = self.attention(x)
        mean = (x * weight).sum(2)
        deviation = ((x**2 * weight).sum(2) - mean**2).clamp(min=1e-5).sqrt()
        return self.linear(torch.cat((mean, deviation), 1))


class RawBlock(nn.Module):
    """RawNet2's residual block."""

    def __init__(self, in_channels: int, channels: int, is_first: bool) -> None:
        super().__init__()
        self.norm1 = None if is_first else nn.BatchNorm1d(in_channels)
        self.conv1, self.norm2 = nn.Conv1d(in_channels, channels, 3, padding=1), nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv1d(in_channels, channels, 1) if in_channels != channels else nn.Identity()
        self.gate = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x if self.norm1 is None else functional.leaky_relu(self.norm1(x), SLOPE)
        y = self.conv2(functional.leaky_relu(self.norm2(self.conv1(y)), SLOPE)) + self.shortcut(x)
        y = functional.max_pool1d(y, 3)
        gate = torch.sigmoid(self.gate(y.mean(2))).unsqueeze(2)
        return y * gate + gate


class RawNet2(nn.Module):
    """RawNet2: 128 sinc filters of 251 samples, six blocks of 128 and 256 channels, a GRU of 1,024."""

    def __init__(self, num_samples: int = 59049) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(num_samples)), nn.Parameter(torch.zeros(num_samples))
        hz = torch.linspace(30, 7900, 129)
        self.low, self.band = nn.Parameter(hz[:-1, None].clone()), nn.Parameter(hz.diff()[:, None])
        half = torch.arange(-125, 0.0)
        self.register_buffer("angle", 2 * math.pi * half[None] / 16000)
        self.register_buffer("window", 0.54 - 0.46 * torch.cos(2 * math.pi * (half + 125) / 251))
        self.norm = nn.BatchNorm1d(128)
        sizes = [128, 128, 128, 256, 256, 256, 256]
        self.blocks = nn.Sequential(*(RawBlock(sizes[i], sizes[i + 1], i == 0) for i in range(6)))
        self.last_norm, self.gru = nn.BatchNorm1d(256), nn.GRU(256, 1024, batch_first=True)
        self.linear = nn.Linear(1024, 1024)

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        x = feats.squeeze(2)
        x = self.scale * (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-6) + self.shift
        low = 50 + self.low.abs()
        high = torch.clamp(low + 50 + self.band.abs(), 50, 8000)
        band = high - low
        left = (torch.sin(high * self.angle) - torch.sin(low * self.angle)) / (self.angle / 2) * self.window
        filters = torch.cat((left, 2 * band, left.flip(1)), 1) / (2 * band)
        x = functional.max_pool1d(functional.conv1d(x[:, None], filters[:, None]).abs(), 3)
        x = self.blocks(functional.leaky_relu(self.norm(x), SLOPE))
        states, _ = self.gru(functional.leaky_relu(self.last_norm(x), SLOPE).transpose(1, 2))
        return self.linear(states[:, -1])


class Ge2eLstm(nn.Module):
    """Resemblyzer's encoder: three LSTM layers of 256."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, feats: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(feats)
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)


class AamSoftmax(nn.Module):
    """Additive angular margin softmax with margin 0.2 and scale 30."""

    def __init__(self, emb_size: int, num_speakers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_speakers, emb_size))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embedding: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        cosine = functional.linear(functional.normalize(embedding), functional.normalize(self.weight))
        sine = (1 - cosine**2).clamp(min=1e-9).sqrt()
        shifted = cosine * math.cos(0.2) - sine * math.sin(0.2)
        shifted = torch.where(cosine > math.cos(math.pi - 0.2), shifted, cosine - math.sin(math.pi - 0.2) * 0.2)
        is_target = functional.one_hot(label, len(self.weight)).bool()
        return functional.cross_entropy(30 * torch.where(is_target, shifted, cosine), label)


def _resnet34() -> nn.Module:
    from speakerlab.models.resnet.ResNet import BasicBlock, ResNet

    return ResNet(BasicBlock, [3, 4, 6, 3], feat_dim=80, embedding_size=192, pooling_func="TSTP", two_emb_layer=False)


def _campplus() -> nn.Module:
    from speakerlab.models.campplus.DTDNN import CAMPPlus

    return CAMPPlus(feat_dim=80, embedding_size=512)


def ecapa_tdnn(channels: int) -> nn.Module:
    """Return SpeechBrain's ECAPA-TDNN."""
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    return ECAPA_TDNN(80, channels=[channels] * 4 + [3 * channels], lin_neurons=192)


def _eres2netv2() -> nn.Module:
    from speakerlab.models.eres2net.ERes2NetV2 import ERes2NetV2

    return ERes2NetV2(feat_dim=80, embedding_size=192)


NETWORKS = {
    "ecapa_512": lambda: ecapa_tdnn(512),
    "ecapa_1024": lambda: ecapa_tdnn(1024),
    "resnet": _resnet34,
    "campplus": _campplus,
    "eres2netv2": _eres2netv2,
    "resnetse34v2": ResNetSE34V2,
    "rawnet2": RawNet2,
    "ge2e_lstm": Ge2eLstm,
}
