"""Numbers of Res2NetSE34 at a toy's size, by PyTorch in double precision: res2netse34_toy.npz.

Written from the papers and from the published file's sizes, because that file cannot run. Entries have its names; their
values follow from the names (tests/vectors/weights.py).

PYTHONPATH=tests/vectors python tests/models/reference/make_res2netse34_reference.py    # torch 2.13.0
"""

from pathlib import Path

import numpy as np
import torch
import weights
from torch import nn

CHANNELS, DEPTHS, BINS, EMB_SIZE = (8, 16, 24, 32), (1, 2, 1, 2), 20, 6


class SqueezeExcitation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, channels // 8), nn.ReLU(), nn.Linear(channels // 8, channels))

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None]


class Bottleneck(nn.Module):
    def __init__(self, in_channels, channels, stride, is_first):
        super().__init__()
        self.width, self.is_first = channels * 26 // 64, is_first
        self.conv1 = nn.Conv2d(in_channels, 4 * self.width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4 * self.width)
        self.convs = nn.ModuleList(nn.Conv2d(self.width, self.width, 3, stride, 1, bias=False) for _ in range(3))
        self.bns = nn.ModuleList(nn.BatchNorm2d(self.width) for _ in range(3))
        self.conv3 = nn.Conv2d(4 * self.width, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.se = SqueezeExcitation(4 * channels)
        if is_first:
            self.pool = nn.AvgPool2d(3, stride, 1)
            shortcut = nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * channels))

    def forward(self, x):
        groups = torch.split(torch.relu(self.bn1(self.conv1(x))), self.width, dim=1)
        found = []
        for index in range(3):
            y = groups[index] if self.is_first or index == 0 else found[-1] + groups[index]
            found.append(torch.relu(self.bns[index](self.convs[index](y))))
        found.append(self.pool(groups[3]) if self.is_first else groups[3])
        y = self.se(self.bn3(self.conv3(torch.cat(found, dim=1))))
        return torch.relu(y + (self.downsample(x) if self.is_first else x))


class Res2NetSE34(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, CHANNELS[0], 3, padding=1), nn.BatchNorm2d(CHANNELS[0])
        seen = CHANNELS[0]
        for stage, (channels, depth) in enumerate(zip(CHANNELS, DEPTHS, strict=True)):
            first = Bottleneck(seen, channels, 2 if stage else 1, True)
            seen = 4 * channels
            rest = [Bottleneck(seen, channels, 1, False) for _ in range(depth - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
        pooled = seen * -(-BINS // 8)
        self.attention = nn.Sequential(
            nn.Conv1d(pooled, 128, 1), nn.ReLU(), nn.BatchNorm1d(128), nn.Conv1d(128, pooled, 1), nn.Softmax(dim=2)
        )
        self.fc = nn.Linear(2 * pooled, EMB_SIZE)

    def forward(self, feats):
        x = self.bn1(torch.relu(self.conv1(feats.transpose(1, 2)[:, None])))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).flatten(1, 2)
        weight = self.attention(x)
        mean = (x * weight).sum(2)
        deviation = ((x * x * weight).sum(2) - mean**2).clamp(min=1e-5).sqrt()
        return self.fc(torch.cat((mean, deviation), dim=1))


if __name__ == "__main__":
    model = Res2NetSE34().double()
    values = {
        name: weights.make_array(name, value.shape, weights.rule_of(name, value.shape))
        for name, value in model.state_dict().items()
    }
    model.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in values.items()})
    found = {}
    with torch.no_grad():
        for num_frames in (9, 37):
            feats = torch.from_numpy(weights.features(f"x{num_frames}", 2, num_frames, BINS)).double()
            found[f"eval_{num_frames}"] = model.eval()(feats).numpy()
        found["train"] = model.train()(feats).numpy()
    np.savez_compressed(Path(__file__).with_name("res2netse34_toy.npz"), **found)
