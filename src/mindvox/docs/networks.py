"""The table of networks in docs/models.md: published facts beside counted sizes."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mindvox.config import ROOT
from mindvox.errors import InputError
from mindvox.files import read_text
from mindvox.registry import MODELS

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- generated: networks -->", "<!-- end -->"
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
APACHE, CC_BY, MIT = "Apache-2.0", "CC-BY-4.0", "MIT"
NOT_PUBLIC = "none public"
ERES2NET, ERES2NETV2 = (f"[arXiv:{one}](https://arxiv.org/abs/{one})" for one in ("2305.12838", "2406.02167"))
RESNET = "[arXiv:1512.03385](https://arxiv.org/abs/1512.03385)"
REDIMNET2 = "[arXiv:2603.11841](https://arxiv.org/abs/2603.11841)"
SIMAM = "[arXiv:2110.06534](https://arxiv.org/abs/2110.06534)"
MEL = "`mel_spectrogram`"


@dataclass(frozen=True)
class Network:
    """A published size of a registered model.

    Attributes:
        size: common name of the size.
        source: paper, and the public code against which it is tested.
        input: front end of the published weights, and feature size.
        toolkits: toolkits whose weights can be imported, names in TOOLKITS.
        licence: licence of published weights.
        error_rate: published EER with its conditions and source.
        settings: keys of the section `model` that differ from the defaults.
        num_frames: number of frames in 3 s.
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
            "192 values",
            f"{CAM}; 3D-Speaker, mvector",
            KALDI_80,
            ("3dspeaker", "mvector"),
            APACHE,
            f"2.66: {OWN_TRIALS}",
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
            NOT_PUBLIC,
            f"2.61: {OWN_TRIALS}",
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
    "eres2net": (
        Network(
            "base",
            f"{ERES2NET}; 3D-Speaker, mvector",
            KALDI_80,
            ("3dspeaker", "mvector"),
            APACHE,
            f"0.97; 0.84 after fine-tuning with a large margin: {VOX2} (3D-Speaker); 3.65: {OWN_TRIALS}",
        ),
        Network(
            "large, 512 values",
            f"{ERES2NET}; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            f"0.57; 0.52 after fine-tuning with a large margin: {VOX2} (3D-Speaker)",
            {"m_channels": 64, "emb_size": 512},
        ),
        Network(
            "huge",
            f"{ERES2NET}; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            "none for English",
            {"m_channels": 64, "base_width": 24, "scale": 3, "expansion": 4},
        ),
    ),
    "eres2netv2": (
        Network(
            "64 channels",
            f"{ERES2NETV2}; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            f"0.68; 0.61 after fine-tuning with a large margin: {VOX2} (3D-Speaker)",
        ),
        Network(
            "32 channels",
            f"{ERES2NETV2}; mvector",
            KALDI_80,
            ("mvector",),
            NOT_PUBLIC,
            "none for English",
            {"m_channels": 32},
        ),
        Network(
            "64 channels, w24s4ep4",
            f"{ERES2NETV2}; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            "none for English",
            {"base_width": 24, "scale": 4, "expansion": 4},
        ),
    ),
    "ge2e_lstm": (
        Network(
            "3 layers of 256; a window of 1.6 s",
            "[arXiv:1710.10467](https://arxiv.org/abs/1710.10467); Resemblyzer",
            f"{MEL}, 40; windows of 1.6 s",
            ("resemblyzer",),
            APACHE,
            "none",
            num_frames=160,
        ),
    ),
    "rawnet2": (
        Network(
            "59,049 samples",
            "[arXiv:2004.00526](https://arxiv.org/abs/2004.00526); Jungjee/RawNet",
            "`samples`; windows of 3.69 s",
            ("rawnet2",),
            MIT,
            "2.56: original Vox1-O, trained on VoxCeleb2 (RawNet)",
            num_frames=59049,
        ),
    ),
    "redimnet2": tuple(
        Network(
            size.upper(),
            f"{REDIMNET2}; wespeaker",
            "`kaldi_fbank`, 72",
            ("wespeaker",),
            "see wespeaker",
            "none stated",
            {"size": size},
        )
        for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6")
    ),
    "res2net": (
        Network(
            "16 blocks, scale 2",
            "[arXiv:1904.01169](https://arxiv.org/abs/1904.01169); mvector",
            KALDI_80,
            ("mvector",),
            NOT_PUBLIC,
            f"4.29: {OWN_TRIALS}",
        ),
    ),
    "res2net_3dspeaker": (
        Network(
            "defaults",
            "[arXiv:1904.01169](https://arxiv.org/abs/1904.01169); 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            f"1.56: {VOX2} (3D-Speaker)",
        ),
    ),
    "res2netse34": (
        Network(
            "defaults",
            "voxceleb_trainer, in the form that its authors intended: theirs cannot run",
            f"{MEL}, 64, pre-emphasis",
            (),
            "none",
            "none",
        ),
    ),
    "resnet": (
        *(
            Network(
                f"ResNet{depth}",
                f"{RESNET}; wespeaker",
                KALDI_80,
                ("wespeaker",),
                CC_BY,
                rate,
                {} if depth == 34 else {"depth": depth},
            )
            for depth, rate in (
                (18, "none stated"),
                (34, f"0.72, AS-norm, after fine-tuning with a large margin: {VOX2} (wespeaker)"),
                (50, "none stated"),
                (101, "none stated"),
                (152, "none stated"),
                (221, f"0.51, AS-norm, after fine-tuning with a large margin: {VOX2} (wespeaker)"),
                (293, f"0.45, AS-norm, after fine-tuning with a large margin: {VOX2} (wespeaker)"),
            )
        ),
        Network(
            "ResNet34 with a second embedding layer",
            f"{RESNET}; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            f"1.05: {VOX2} (3D-Speaker)",
            {"emb_size": 192, "two_emb_layer": True},
        ),
    ),
    "resnet_se": (
        Network(
            "16 blocks",
            "[arXiv:1709.01507](https://arxiv.org/abs/1709.01507); mvector",
            KALDI_80,
            ("mvector",),
            NOT_PUBLIC,
            f"3.67: {OWN_TRIALS}",
        ),
    ),
    "resnetse34l": (
        Network(
            "SAP",
            "[arXiv:2003.11982](https://arxiv.org/abs/2003.11982); voxceleb_trainer",
            f"{MEL}, 40, instance norm",
            ("voxceleb_trainer",),
            MIT,
            "2.18: original Vox1-O, trained on VoxCeleb2 (voxceleb_trainer)",
            num_frames=301,
        ),
    ),
    "resnetse34v2": (
        Network(
            "ASP",
            "[arXiv:2009.14153](https://arxiv.org/abs/2009.14153); voxceleb_trainer",
            f"{MEL}, 64, pre-emphasis, instance norm",
            ("voxceleb_trainer",),
            MIT,
            "1.18: original Vox1-O, trained on VoxCeleb2 (voxceleb_trainer)",
            num_frames=301,
        ),
    ),
    "simam_resnet": (
        Network(
            "34",
            f"{SIMAM}; wespeaker",
            KALDI_80,
            ("wespeaker",),
            "see wespeaker",
            "0.37 after pre-training on VoxBlink2, AS-norm: Vox1-O (wespeaker)",
        ),
        Network(
            "100",
            f"{SIMAM}; wespeaker",
            KALDI_80,
            ("wespeaker",),
            "see wespeaker",
            "0.20 after pre-training on VoxBlink2, AS-norm: Vox1-O (wespeaker)",
            {"depth": 100},
        ),
    ),
    "tdnn": (
        Network(
            "512 channels",
            "x-vector, Snyder et al. 2018, ICASSP; mvector",
            KALDI_80,
            ("mvector",),
            NOT_PUBLIC,
            f"3.96: {OWN_TRIALS}",
        ),
    ),
    "vggvox40": (
        Network(
            "SAP",
            "[arXiv:2003.11982](https://arxiv.org/abs/2003.11982); voxceleb_trainer",
            f"{MEL}, 40, instance norm",
            ("voxceleb_trainer",),
            "none public",
            "none",
            num_frames=301,
        ),
    ),
    "xvector": (
        Network(
            "512 values",
            "x-vector, Snyder et al. 2018, ICASSP; 3D-Speaker",
            KALDI_80,
            ("3dspeaker",),
            APACHE,
            f"2.22: {VOX2} (3D-Speaker)",
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
    """A size of a model: its name in the registry, and its facts."""

    name: str
    network: Network

    @property
    def settings(self) -> dict[str, Any]:
        """Return the section `model`, with `in_channels`."""
        keys = {"in_channels": MODELS.get(self.name).Options().in_channels, **self.network.settings}
        return {"name": self.name, **keys}

    def line(self) -> str:
        """Return the line of the table; builds and runs the network."""
        from mindvox.docs.counts import count  # imported here: MindSpore takes seconds

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
        InputError: a model has no facts; the message says where to add them.
    """
    for name in names:
        if name not in NETWORKS:
            raise InputError(f"model {name}: no facts for docs/models.md. Add them to NETWORKS in {__name__}.")
        for network in NETWORKS[name]:
            yield Row(name, network)


def table(names: Collection[str] = ()) -> list[str]:
    """Return the lines of the table; this builds and runs networks.

    Args:
        names: models whose lines are made; others keep theirs. None: all.

    Raises:
        InputError: a model does not exist, or another one has no line yet.
    """
    for name in names:
        MODELS.get(name)
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return head + [row.line() if not names or row.name in names else _kept(row) for row in rows()]


def _kept(row: Row) -> str:
    found = [line for line in lines_of_page() if line.startswith(f"| `{row.name}` | {row.network.size} |")]
    if len(found) != 1:
        raise InputError(
            f"{PAGE}: no line of {row.name}, {row.network.size}: "
            f"run python -m mindvox.docs --write --networks {row.name}."
        )
    return found[0]


def lines_of_page() -> list[str]:
    """Return the lines of the table in docs/models.md.

    Raises:
        InputError: the marks around it are missing.
    """
    _, _, rest = read_text(PAGE).partition(f"{BEGIN}\n")
    found, mark, _ = rest.partition(f"{END}\n")
    if not mark:
        raise InputError(f"{PAGE}: expected the lines {BEGIN} and {END} around the table of networks.")
    return found.strip().splitlines()
