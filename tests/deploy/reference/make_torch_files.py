"""Make the torch files that the tests of import_weights read, and the embeddings that their models give.

usage: PYTHONPATH=../../models/reference python make_torch_files.py   (needs speechbrain 1.1.2 and torch 2.13.0)

Written by the toolkits' own code where it can be installed: torch.save of SpeechBrain's state_dict, its label encoder;
for wespeaker the state of make_wespeaker_reference.py with the projection that its training leaves in the file.
"""

import collections
from pathlib import Path

import make_wespeaker_reference as wespeaker
import numpy as np
import torch
from seeded import draw, features, weights
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier

FOLDER = Path(__file__).parent
MELS, CHANNELS, EMB_SIZE = 12, 8, 6
SPEAKERS = ("id10270", "id00012", "id00031")  # not sorted, as in a corpus that is read in its order


def main() -> None:
    """Write the files beside this script."""
    model = ECAPA_TDNN(MELS, channels=[CHANNELS] * 4 + [3 * CHANNELS], lin_neurons=EMB_SIZE)
    drawn = weights({key: tuple(value.shape) for key, value in model.state_dict().items()}, seed=5)
    model.load_state_dict({key: torch.tensor(value) for key, value in drawn.items()}, strict=False)
    with torch.no_grad():
        for seed in range(20):
            model(torch.tensor(features(100 + seed, 8, 60, MELS)))
    torch.save(model.state_dict(), FOLDER / "speechbrain.ckpt")
    classifier = Classifier(EMB_SIZE, out_neurons=len(SPEAKERS))
    torch.save(classifier.state_dict(), FOLDER / "speechbrain_classifier.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(SPEAKERS)
    encoder.save(str(FOLDER / "label_encoder.txt"))
    torch.save(classifier.state_dict(), FOLDER / "legacy.ckpt", _use_new_zipfile_serialization=False)

    network, _ = wespeaker.trained(global_context=True)
    state = collections.OrderedDict((key, value.detach().float()) for key, value in network.state.items())
    state["projection.weight"] = torch.tensor(draw(np.random.default_rng(1), (7, wespeaker.EMB_SIZE), 0.1))
    torch.save(state, FOLDER / "wespeaker.pt")

    numbers = torch.arange(24.0).reshape(4, 6)
    views = {
        "transposed": numbers.t(),
        "window": numbers[1:3, 2:5],
        "half": numbers.half(),
        "bfloat16": numbers.bfloat16(),
        "double": numbers.double(),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 5),
    }
    torch.save(views, FOLDER / "views.pt")

    model.double().eval()
    feats = torch.tensor(features(2, 3, 50, MELS)).double()
    embeddings = {
        "speechbrain": model(feats).detach().squeeze(1).numpy(),
        "classifier": classifier.weight.detach().numpy(),
    }
    np.savez_compressed(FOLDER / "embeddings.npz", **embeddings)


if __name__ == "__main__":
    main()
