"""Models, objectives, samplers and front ends by name. A new one is one file and one line here.

Each class has a dataclass `Options` of `option()` fields, whose values are its keyword arguments.

- A model turns feats (B, T, F) into embeddings (B, D). Its options include `in_channels` (F) and `emb_size` (D), and it
  has `min_frames`. It may have `checkpoint_prefix`, `further_outputs` and `folded`, see `EcapaTdnn`.
- An objective is built from (emb_size, num_classes). It returns loss and score of (embedding, label), and has
  `scheduled`, `schedule`, `accuracy` and `adapt`, see `MarginSoftmax`.
- A sampler: see `Sampler`.
- A front end: see `FrontEnd`.
"""

import difflib
import importlib
from collections.abc import Iterator
from typing import Any

from mindvox.errors import InputError


class Registry:
    """Classes of one kind by name; a class is imported when it is asked for.

    Args:
        kind: what they are, the name of the section of the configuration that chooses one.
        entries: "module:Class" by name.
    """

    def __init__(self, kind: str, **entries: str) -> None:
        self.kind = kind
        self._entries = entries

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def add(self, name: str, entry: str) -> None:
        """Add a class, "module:Class", under a new name.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name} is registered already, as {self._entries[name]}.")
        self._entries[name] = entry

    def get(self, name: str) -> Any:
        """Return the class of a name.

        Raises:
            InputError: there is no such name.
        """
        if name not in self._entries:
            near = difflib.get_close_matches(str(name), self._entries, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(f"{self.kind}: expected one of {', '.join(self)}, got {name!r}{hint}")
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)


MODELS = Registry(
    "model",
    ecapa_tdnn="mindvox.models.ecapa_tdnn:EcapaTdnn",
    wespeaker_ecapa="mindvox.models.wespeaker_ecapa:WespeakerEcapa",
)
LOSSES = Registry("loss", aam_softmax="mindvox.losses.aam_softmax:AamSoftmax")
SAMPLERS = Registry("sampler", shuffle="mindvox.data.samplers:Shuffle")
FRONT_ENDS = Registry(
    "front_end",
    fbank="mindvox.frontend.fbank:Fbank",
    kaldi_fbank="mindvox.frontend.kaldi_fbank:KaldiFbank",
)
