"""The table of networks in docs/models.md: what was published, beside what is counted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mindvox.config import ROOT
from mindvox.errors import InputError
from mindvox.files import read_text
from mindvox.registry import MODELS

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- networks: written by `python -m mindvox.docs` -->", "<!-- end of networks -->"
COLUMNS = (
    *("`--model.name`", "Size", "M parameters", "G multiply-adds, 3 s", "Embedding", "Input", "Source"),
    *("Weights: `--from`", "Licence of public weights", "Published EER, %"),
)

PAPER, CAM = (
    "[arXiv:2005.07143](https://arxiv.org/abs/2005.07143)",
    "[arXiv:2303.00332](https://arxiv.org/abs/2303.00332)",
)
KALDI_80, FBANK_80 = "`kaldi_fbank`, 80", "`fbank`, 80"
VOX2, VOX12 = "Vox1-O, trained on VoxCeleb2", "Vox1-O, trained on VoxCeleb1 and 2"
LARGE_MARGIN = "after fine-tuning with a large margin, AS-norm"
OWN_TRIALS = "trials of its own with 158 speakers, trained on VoxCeleb1 and 2 (mvector)"
APACHE, CC_BY = "Apache-2.0", "CC-BY-4.0"


@dataclass(frozen=True)
class Network:
    """A published size of a registered model.

    Attributes:
        size: what people call it.
        source: paper, and the public code that it is proven against.
        input: front end of the published weights, and size of a frame.
        toolkits: whose weights are imported, names in TOOLKITS.
        licence: of the weights that their publishers give away.
        error_rate: published EER with its conditions, and who printed it.
        settings: keys of the section `model` beside the name, where they are not the defaults.
        num_frames: frames of 3 s.
    """

    size: str
    source: str
    input: str
    toolkits: tuple[str, ...]
    licence: str
    error_rate: str
    settings: dict[str, Any] = field(default_factory=dict)
    num_frames: int = 300


NETWORKS: dict[str, tuple[Network, ...]] = {
    "campplus": (
        Network(
            "512 values, VoxCeleb",
            f"{CAM}; 3D-Speaker, wespeaker",
            KALDI_80,
            ("3dspeaker", "wespeaker"),
            f"{APACHE} (3D-Speaker), {CC_BY} (wespeaker)",
            f"0.73 (3D-Speaker); 0.66 {LARGE_MARGIN} (wespeaker): {VOX2}",
            {"emb_size": 512},
        ),
        Network(
            "192 values", f"{CAM}; 3D-Speaker, mvector", KALDI_80, ("3dspeaker", "mvector"), APACHE, "none for English"
        ),
    ),
    "ecapa_joovvhan": (
        Network(
            "512 channels",
            "Ascend 310P guide: [Joovvhan/ECAPA-TDNN](https://github.com/Joovvhan/ECAPA-TDNN)",
            "`mel_spectrogram`, 80",
            ("joovvhan",),
            "not stated",
            "ROC-AUC 0.986, random 2 s of Vox1 test against speaker means (the guide)",
        ),
    ),
    "ecapa_tdnn": (
        Network(
            "1024 channels",
            f"{PAPER}; SpeechBrain, 3D-Speaker",
            f"{FBANK_80} (SpeechBrain); {KALDI_80} (3D-Speaker)",
            ("3dspeaker", "speechbrain"),
            APACHE,
            f"0.90, with s-norm 0.80: {VOX12} (SpeechBrain); 0.86: {VOX2} (3D-Speaker)",
        ),
        Network(
            "512 channels",
            f"{PAPER}; mvector",
            KALDI_80,
            ("mvector",),
            "none public",
            "2.48: trials of its own (mvector)",
            {"channels": 512},
        ),
        Network(
            "1024 channels, zeros at the edges, no global context",
            f"{PAPER}; MindSpore's model zoo, mindaudio",
            f"{FBANK_80} (model zoo); `mel_spectrogram`, 80 (mindaudio)",
            ("mindaudio", "modelzoo"),
            "not stated",
            f"with s-norm 0.82 (model zoo), 1.50 (mindaudio): {VOX12}, without the trials of 210 recordings",
            {"global_context": False, "padding": "zero"},
        ),
    ),
    "res2net": (
        Network(
            "16 blocks, scale 2",
            "[arXiv:1904.01169](https://arxiv.org/abs/1904.01169); mvector",
            KALDI_80,
            ("mvector",),
            "none public",
            f"4.29: {OWN_TRIALS}",
        ),
    ),
    "resnet_se": (
        Network(
            "16 blocks",
            "[arXiv:1709.01507](https://arxiv.org/abs/1709.01507); mvector",
            KALDI_80,
            ("mvector",),
            "none public",
            f"3.67: {OWN_TRIALS}",
        ),
    ),
    "tdnn": (
        Network(
            "512 channels",
            "x-vector, Snyder et al. 2018, ICASSP; mvector",
            KALDI_80,
            ("mvector",),
            "none public",
            f"3.96: {OWN_TRIALS}",
        ),
    ),
    "wespeaker_ecapa": (
        Network(
            "1024 channels, GLOB",
            f"{PAPER}; wespeaker",
            KALDI_80,
            ("wespeaker",),
            CC_BY,
            f"0.86; 0.73 {LARGE_MARGIN}: {VOX2} (wespeaker)",
        ),
        Network(
            "512 channels, GLOB",
            f"{PAPER}; wespeaker",
            KALDI_80,
            ("wespeaker",),
            CC_BY,
            f"1.07; 0.78 {LARGE_MARGIN}: {VOX2} (wespeaker)",
            {"channels": 512},
        ),
    ),
}


class Row(NamedTuple):
    """A size of a model: its name in the registry, and what is known of it."""

    name: str
    network: Network

    @property
    def settings(self) -> dict[str, Any]:
        """Return the section `model`, with `in_channels`."""
        keys = {"in_channels": MODELS.get(self.name).Options().in_channels, **self.network.settings}
        return {"name": self.name, **keys}

    def line(self) -> str:
        """Return the line of the table; builds and runs the network."""
        from mindvox.docs.counts import count  # here: MindSpore takes seconds to import

        network, counts = self.network, count(self.settings, self.network.num_frames)
        toolkits = ", ".join(f"`{name}`" for name in network.toolkits)
        cells = (
            f"`{self.name}`",
            network.size,
            f"{counts.parameters / 1e6:.2f}",
            f"{counts.multiply_adds / 1e9:.2f}",
            str(counts.emb_size),
            network.input,
            network.source,
            toolkits or "none",
            network.licence,
            network.error_rate,
        )
        return f"| {' | '.join(cells)} |"


def rows(names: Iterable[str] = MODELS) -> Iterator[Row]:
    """Yield the published sizes of registered models.

    Raises:
        InputError: nothing is known of a model; the message says where to write it.
    """
    for name in names:
        if name not in NETWORKS:
            raise InputError(f"model {name}: no facts for docs/models.md. Add them to NETWORKS in {__name__}.")
        for network in NETWORKS[name]:
            yield Row(name, network)


def table() -> list[str]:
    """Return the lines of the table; this builds and runs every network."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return head + [row.line() for row in rows()]


def lines_of_page() -> list[str]:
    """Return the lines of the table as docs/models.md has them.

    Raises:
        InputError: the marks around it are missing.
    """
    _, _, rest = read_text(PAGE).partition(f"{BEGIN}\n")
    found, mark, _ = rest.partition(f"{END}\n")
    if not mark:
        raise InputError(f"{PAGE}: expected the lines {BEGIN} and {END} around the table of networks.")
    return found.strip().splitlines()
