"""Make ecapa_toy.npz: weights, embeddings and gradients of a toy ECAPA-TDNN in SpeechBrain.

usage: python make_reference.py   (needs speechbrain 1.1.2 and torch 2.13.0; the product needs neither)

Double precision, so that the stored numbers carry no rounding of their own; weights are those of float32.
"""

from pathlib import Path

import numpy as np
import speechbrain
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

CHANNELS, EMB_SIZE, NUM_SPEAKERS = 16, 12, 7
LENGTHS = (9, 50, 101)


def main() -> None:
    """Write the numbers beside this script."""
    torch.manual_seed(0)
    model = ECAPA_TDNN(80, channels=[CHANNELS] * 4 + [3 * CHANNELS], lin_neurons=EMB_SIZE)
    classifier = Classifier(EMB_SIZE, out_neurons=NUM_SPEAKERS)
    with torch.no_grad():
        for _ in range(20):  # real statistics for the batch norms
            model(torch.randn(8, 60, 80))
        for name, parameter in model.named_parameters():
            if ".norm." in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.fc.conv.weight.mul_(20)
    arrays = {f"model/{name}": value.numpy().copy() for name, value in model.state_dict().items() if value.ndim}
    arrays["loss/weight"] = classifier.weight.detach().numpy().copy()
    model.double()
    classifier.double()

    model.eval()
    for length in LENGTHS:
        feats = torch.randn(3, length, 80)
        arrays[f"feats/{length}"] = feats.numpy()
        arrays[f"embedding/{length}"] = model(feats.double()).detach().squeeze(1).numpy()

    model.train()
    feats, label = torch.randn(16, 40, 80), torch.arange(16) % NUM_SPEAKERS
    loss = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(classifier(model(feats.double())), label.unsqueeze(1))
    loss.backward()
    arrays |= {"train/feats": feats.numpy(), "train/label": label.numpy(), "train/loss": loss.detach().numpy()}
    for name, parameter in model.named_parameters():
        arrays[f"gradient/model/{name}"] = parameter.grad.float().numpy()
    arrays["gradient/loss/weight"] = classifier.weight.grad.float().numpy()
    arrays["versions"] = np.array(f"speechbrain {speechbrain.__version__}, torch {torch.__version__}")
    np.savez_compressed(Path(__file__).with_name("ecapa_toy.npz"), **arrays)


if __name__ == "__main__":
    main()
