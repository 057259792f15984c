"""Make ecapa_toy.npz, ecapa_c512.npz and ecapa_c1024.npz: embeddings and gradients of ECAPA-TDNN in SpeechBrain.

usage: python make_reference.py   (needs speechbrain 1.1.2 and torch 2.13.0; the product needs neither)

Double precision, so that the stored numbers carry no rounding of their own; weights are those of float32. Weights and
features follow from seeds (seeded.py); stored are the batch norms' statistics, embeddings and gradients: all of the toy
model's, of the full sizes 16 entries, greatest magnitude and norm for each parameter.

A gradient jumps where the input of a ReLU changes its sign. Among a million inputs some always lie so near to 0 that
single precision puts them on the other side, in SpeechBrain too. So the features of a training step are those of the
first seed at which no input of a ReLU is nearer to 0 than MARGIN.
"""

from pathlib import Path

import numpy as np
import speechbrain
import torch
from seeded import digest, draw, features, summary, weights
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
from speechbrain.nnet.losses import AdditiveAngularMargin, LogSoftmaxWrapper

# name: channels, embedding size, speakers, (batch, frames) of embeddings, (batch, frames) of the training step
MODELS = {
    "toy": (16, 12, 7, ((3, 9), (3, 50), (3, 101)), (16, 40)),
    "c512": (512, 192, 16, ((1, 50), (3, 301), (1, 1000)), (6, 24)),
    "c1024": (1024, 192, 16, ((1, 50), (3, 301), (1, 1000)), (6, 24)),
}
MARGIN = 3e-6  # of the deviation of a layer's inputs; float32 is off by about 1e-6
PADDED_LENGTHS = (1.0, 0.74, 0.31)  # shares of the frames


def main() -> None:
    """Write the files beside this script."""
    for name in MODELS:
        np.savez_compressed(Path(__file__).with_name(f"ecapa_{name}.npz"), **reference(name))


def reference(name: str) -> dict[str, np.ndarray]:
    """Return everything that is stored of one model."""
    channels, emb_size, num_speakers, sizes, train_size = MODELS[name]
    model = ECAPA_TDNN(80, channels=[channels] * 4 + [3 * channels], lin_neurons=emb_size)
    drawn = weights({key: tuple(value.shape) for key, value in model.state_dict().items()}, seed=0)
    model.load_state_dict({key: torch.tensor(value) for key, value in drawn.items()}, strict=False)
    classifier = Classifier(emb_size, out_neurons=num_speakers)
    classifier.weight.data = torch.tensor(draw(np.random.default_rng(1), (num_speakers, emb_size), 0.1))
    model.double()
    classifier.double()
    arrays = {
        "digest": np.array(digest(drawn)),
        "versions": np.array(f"speechbrain {speechbrain.__version__}, torch {torch.__version__}"),
        "padded/lengths": np.array(PADDED_LENGTHS, np.float32),
    }

    with torch.no_grad():
        for seed in range(20):  # real statistics for the batch norms
            model(torch.tensor(features(100 + seed, 8, 100)).double())
    for key, value in model.named_buffers():
        if value.ndim:
            value.copy_(value.float())  # exactly what float32 can hold
            arrays[f"statistics/{key}"] = value.float().numpy().copy()

    model.eval()
    with torch.no_grad():
        for batch, num_frames in sizes:
            feats = torch.tensor(features(2, batch, num_frames)).double()
            arrays[f"embedding/{batch}x{num_frames}"] = model(feats).squeeze(1).numpy()
        feats = torch.tensor(features(3, 3, 200)).double()
        arrays["padded/embedding"] = model(feats, torch.tensor(PADDED_LENGTHS)).squeeze(1).numpy()

    model.train()
    batch, num_frames = train_size
    label, shares = torch.arange(batch) % num_speakers, np.linspace(0.25, 1.0, batch, dtype=np.float32)
    for kind, lengths in (("train", None), ("train_padded", torch.tensor(shares))):
        seed = clear_seed(model, batch, num_frames, lengths)
        arrays[f"{kind}/seed"] = np.array(seed)
        feats = torch.tensor(features(seed, batch, num_frames)).double()
        cosine = classifier(model(feats, lengths))
        loss = LogSoftmaxWrapper(AdditiveAngularMargin(0.2, 30))(cosine, label.unsqueeze(1))
        model.zero_grad()
        classifier.zero_grad()
        loss.backward()
        arrays[f"{kind}/loss"] = loss.detach().numpy()
        parameters = [*model.named_parameters(), ("classifier", classifier.weight)]
        for key, parameter in parameters:
            gradient = parameter.grad.numpy()
            stored = gradient.astype(np.float32) if name == "toy" else summary(gradient, key)
            arrays[f"{kind}/gradient/{key}"] = stored
    return arrays


def clear_seed(model: ECAPA_TDNN, batch: int, num_frames: int, lengths: torch.Tensor | None) -> int:
    """Return the first seed of features at which no input of a ReLU lies within MARGIN of 0."""
    margins: list[float] = []

    def measure(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        margins.append(float(inputs[0].abs().min() / inputs[0].std()))

    hooks = [
        module.register_forward_pre_hook(measure) for module in model.modules() if isinstance(module, torch.nn.ReLU)
    ]
    for seed in range(1000, 6000):
        margins.clear()
        with torch.no_grad():
            model(torch.tensor(features(seed, batch, num_frames)).double(), lengths)
        if min(margins) > MARGIN:
            for hook in hooks:
                hook.remove()
            print(f"seed {seed}: every input of a ReLU is {min(margins):.1e} of its layer's deviation from 0")
            return seed
    raise SystemExit("no seed found; lower MARGIN")


if __name__ == "__main__":
    main()
