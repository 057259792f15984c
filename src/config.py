"""Configuration: dataclasses filled from YAML and `--key=value`; default < file < command line.

For shell scripts, `python -m src.config CLASS ARGUMENT...` checks arguments and prints what they resolve to, and
`python -m src.config CLASS --keys` prints the keys.
"""

import argparse
import dataclasses
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Optional, TypeVar, Union, get_type_hints

import yaml

from src.errors import InputError, UsageError, run
from src.files import PathLike, atomic_path, escape_path, expand_path, read_text, user_path

ROOT = Path(__file__).resolve().parent.parent
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
REFERENCE = re.compile(r"<([^<>]+)>")
T = TypeVar("T")


class Reference(str):
    """Text whose `<key>` parts stand for the values of other keys: what `!ref` marks in YAML."""


def option(
    default: Any,
    help_text: str,
    *,
    name: Optional[str] = None,
    aliases: Sequence[str] = (),
    choices: Sequence[Any] = (),
    minimum: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
    parse: Optional[Callable[[Any], Any]] = None,
    path: bool = False,
) -> Any:
    """Describe one key of a configuration.

    Args:
        default: value when neither file nor command line gives the key; a Reference is resolved.
        help_text: one line for --help, with the unit.
        name: spelling in YAML, --help and saved files when it differs from the attribute; both are accepted.
        aliases: further accepted spellings.
        choices: the allowed values, when they are few.
        minimum, above, below: bounds of a number: >= minimum, > above, < below.
        parse: turns the given value into the attribute's; raises ValueError with what it expected. It gets text as
            it was written, a list or a mapping of such texts, or None.
        path: the value is a path, in which `~`, `$NAME` and `${NAME}` are replaced as in a shell.
    """
    metadata = {
        "help": help_text,
        "name": name,
        "aliases": tuple(aliases),
        "choices": tuple(choices),
        "minimum": minimum,
        "above": above,
        "below": below,
        "parse": parse,
        "path": path,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _class_num(value: Any) -> int:
    if value == "auto":
        return 0
    try:
        count = int(str(value))
    except ValueError:
        raise ValueError("expected 'auto' or a number of speakers") from None
    if count < 2:
        raise ValueError("expected 'auto' or at least 2 speakers")
    return count


def _loss_scale(value: Any) -> Union[str, float]:
    if value in ("auto", "dynamic"):
        return value
    try:
        number = float(str(value))
    except ValueError:
        raise ValueError("expected auto, dynamic or a number") from None
    if not 1 <= number < float("inf"):
        raise ValueError("expected auto, dynamic or a number of at least 1")
    return number


def _train_percent(value: Any) -> float:
    parts = value if isinstance(value, list) else str(value).strip("[]").split(",")
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) == 2 and sum(numbers) == 100:
        numbers = numbers[:1]
    if len(numbers) != 1 or not 0 < numbers[0] <= 100:
        raise ValueError("expected percents of train and dev such as [90, 10]")
    return numbers[0]


def _items(value: Any) -> list[str]:
    """Return the entries of a YAML list, or of text with commas as the command line gives it."""
    parts = value if isinstance(value, list) else str(value).strip("[] ").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _stage_names(value: Any) -> tuple[str, ...]:
    names = []
    for part in value if isinstance(value, list) else _items(value):
        pairs = part.items() if isinstance(part, dict) else [(part, None)]  # YAML reads `name: 0.5` as a mapping
        names += [str(name) if weight is None else f"{name}:{weight}" for name, weight in pairs]
    if not names:
        raise ValueError("expected a list of stages such as [clean, add_noise]")
    return tuple("".join(name.split()) for name in names)


def _numbers(value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _items(value))
    except ValueError:
        return ()


def _span(minimum: float = -100.0, maximum: float = 100.0, whole: bool = False) -> Callable[[Any], tuple]:
    """Return a parser of [least, greatest]; one number stands for both."""
    kind, words = (int, "two whole numbers") if whole else (float, "two numbers")

    def parse(value: Any) -> tuple:
        numbers = _numbers(value)
        low, high = numbers if len(numbers) == 2 else numbers * 2 if len(numbers) == 1 else (1.0, 0.0)
        if not minimum <= low <= high <= maximum or (whole and (low % 1 or high % 1)):
            raise ValueError(f"expected {words} [least, greatest] between {minimum:g} and {maximum:g}")
        return kind(low), kind(high)

    return parse


def _speeds(value: Any) -> tuple[float, ...]:
    factors = _numbers(value)
    percents = [round(100 * factor) for factor in factors]
    exact = all(abs(100 * factor - percent) < 1e-6 for factor, percent in zip(factors, percents, strict=True))
    if not factors or not exact or len(set(percents)) < len(percents) or not all(50 <= p <= 200 for p in percents):
        raise ValueError("expected different factors of whole percents between 0.5 and 2, such as [0.95, 1.0, 1.05]")
    return factors


def _part(value: Any) -> str:
    match = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", str(value).strip())
    if not match or int(match[1]) > int(match[2]):
        raise ValueError("expected i/n with i from 1 to n, such as 1/4")
    return match[0]


def _resume(value: Any) -> str:
    text = "" if value is None else str(value)
    if text.lower() in ("", *FALSE):
        return "no"
    return "auto" if text.lower() in TRUE else text


STORE_KINDS = ("fbank", "waveform")
NUM_PROCESSES_HELP = "processes of this machine; 0: one for each core"
TRIAL_FORMATS = ("voxceleb", "kaldi", "voxsrc", "cnceleb")
TRIAL_FORMAT_HELP = (
    "form of the trial list: voxceleb ('1 enrol test'), kaldi ('enrol test target'), cnceleb ('enrol test 1') or "
    "voxsrc ('enrol test', blind)"
)
LAYOUTS = (
    *("auto", "wav", "folders", "flat", "table", "speaker_path", "path_speaker"),
    *("kaldi", "lhotse", "cnceleb", "rawnet"),
)
LAYOUT_HELP = "how data_folder is arranged (docs/data.md); auto: the layout that it shows"
SPEAKER_PATTERN_HELP = "of layout flat: speaker in a file's name, such as '{speaker}_*'"
DATA_LIST_HELP = (
    "list of the recordings (csv, two columns, Kaldi folder, lhotse); looked for as given, then in data_folder"
)
ENROL_MAP_HELP = "models of several utterances: a line '<model> <utterance> ...' each; empty: none"


MIN_DURATION_S = 0.08  # 9 frames, the least that a model takes
FRONTENDS = ("builtin", "speechbrain")
FRONTEND_HELP = "whose features and distortions; speechbrain: its own code (requirements-speechbrain.txt)"


@dataclass
class AugmentationOptions:
    """Keys of augmentation, the same in preparation and in training (docs/augmentation.md)."""

    augmentations: tuple[str, ...] = option(
        ("clean",),
        "stages: clean, augment_wavedrop, augment_speed, add_rev, add_noise, add_rev_noise, or steps joined by '+'",
        parse=_stage_names,
    )
    noise_folder: str = option("", "recordings of noise: MUSAN, or any folder of audio", path=True)
    rir_folder: str = option("", "room responses: RIRS_NOISES, or any folder of audio", path=True)
    noise_snr: tuple[float, float] = option((0.0, 15.0), "speech over noise, dB", parse=_span())
    music_snr: tuple[float, float] = option((5.0, 15.0), "speech over MUSAN's music, dB", parse=_span())
    speech_snr: tuple[float, float] = option((13.0, 20.0), "speech over MUSAN's speech, dB", parse=_span())
    babble_snr: tuple[float, float] = option((13.0, 20.0), "speech over babble, dB", parse=_span())
    babble_voices: tuple[int, int] = option((3, 7), "other utterances in babble", parse=_span(1, 100, whole=True))
    speeds: tuple[float, ...] = option((0.95, 1.0, 1.05), "factors of speed, each as often", parse=_speeds)
    drop_freq_count: tuple[int, int] = option((1, 3), "bands that drop_freq removes", parse=_span(0, 100, whole=True))
    drop_freq_width: float = option(0.05, "width of such a band, share of half the sampling rate", above=0, below=1)
    drop_chunk_count: tuple[int, int] = option((1, 5), "stretches silenced by drop_chunk", parse=_span(0, 100, True))
    drop_chunk_length: tuple[int, int] = option((1000, 2000), "their length, samples", parse=_span(1, 160000, True))
    volume_peak: tuple[float, float] = option((0.5, 1.5), "largest sample after volume", parse=_span(0.01, 10))
    clip_share: tuple[float, float] = option((0.3, 0.9), "share of the peak that clip leaves", parse=_span(0.01, 1))
    frontend: str = option("builtin", FRONTEND_HELP, choices=FRONTENDS)

    @property
    def speed_percents(self) -> tuple[int, ...]:
        """Return the speeds in percent."""
        return tuple(round(100 * factor) for factor in self.speeds)


@dataclass
class TrainPrepConfig(AugmentationOptions):
    """hparams/prepare_train.yaml: from recordings to the training store."""

    output_folder: str = option("./augmented/", "folder of intermediate results", path=True)
    save_folder: str = option(Reference("<output_folder>/save/"), "folder of the utterance tables", path=True)
    feat_folder: str = option("", "folder of the training store (features)", path=True)
    feat_folder_merge: str = option(Reference("<feat_folder>/merged"), "folder that merge_data.py writes", path=True)
    data_folder: str = option("", "training corpus: the folder that holds wav/<speaker>/<session>/<file>", path=True)
    layout: str = option("auto", LAYOUT_HELP, choices=LAYOUTS)
    speaker_pattern: str = option("", SPEAKER_PATTERN_HELP)
    data_list: str = option("", DATA_LIST_HELP, path=True)
    train_annotation: str = option(
        Reference("<save_folder>/train.csv"), "training utterances, made when absent", path=True
    )
    valid_annotation: str = option(
        Reference("<save_folder>/dev.csv"), "held-out utterances, made when absent", path=True
    )
    verification_file: str = option(
        "", "trial list whose speakers are left out of training; empty: none are", path=True
    )
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    skip_prep: bool = option(False, "use the tables as they are; it is an error when they are absent")
    split_ratio: float = option(100.0, "percents for train and dev of a speaker's utterances", parse=_train_percent)
    min_utts_for_dev: int = option(5, "a speaker with fewer utterances stays wholly in train", minimum=2)
    sentence_len: float = option(3.0, "length of a stored chunk, s", above=0)
    random_chunk: bool = option(True, "a random chunk of each utterance; false: all its consecutive chunks")
    number_of_epochs: int = option(1, "copies of the chunks, each with new random positions", minimum=1)
    whole_utterance: bool = option(False, "store whole utterances, of which train.py draws new crops every epoch")
    n_mels: int = option(80, "mel bins of a feature frame", minimum=1)
    shard_utterances: int = option(10000, "records in one file of the store", minimum=1)
    min_duration: float = option(0.1, "shortest usable recording, s", minimum=MIN_DURATION_S)
    max_clipped_fraction: float = option(0.2, "largest share of a recording's samples at full scale", minimum=0)
    use_db_normalization: bool = option(
        False, "bring each recording to the level target_dB", name="use_dB_normalization"
    )
    target_db: float = option(-20.0, "that level, root mean square, dB below full scale", name="target_dB", below=0)
    max_bad_fraction: float = option(0.05, "unusable share of the recordings at which preparation stops", minimum=0)
    seed: int = option(1234, "seed of the split, of the chunks' positions and of augmentation", minimum=0)
    store_kind: str = option("fbank", "what is stored: features, or waveforms for online training", choices=STORE_KINDS)
    num_processes: int = option(0, NUM_PROCESSES_HELP, minimum=0)
    part: str = option("1/1", "i/n: make only the i-th of n parts of the store, on one of n machines", parse=_part)
    dask: str = option("", "Dask scheduler to work on, such as tcp://host:8786; local: start one; empty: no Dask")
    verify: bool = option(False, "check every byte and every record of the finished store, and make nothing")

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        if self.whole_utterance and self.number_of_epochs > 1:
            return ["number_of_epochs: expected 1 with whole_utterance, which stores each utterance once."]
        if self.dask and self.part != "1/1":
            return ["part: Dask shares the work out by itself: give one of dask and part."]
        return []


@dataclass
class EvalPrepConfig:
    """hparams/prepare_eval.yaml: from recordings to the evaluation store and the cohort."""

    output_folder: str = option("./augmented_eval/", "folder of intermediate results", path=True)
    save_folder: str = option(Reference("<output_folder>/save/"), "folder of the utterance tables", path=True)
    feat_eval_folder: str = option(
        "", "folder of the evaluation store (features of the trial list's utterances)", path=True
    )
    feat_norm_folder: str = option(
        "", "folder of the cohort's store (features for mean subtraction and s-norm)", path=True
    )
    data_folder: str = option("", "evaluation corpus: the folder that holds wav/<speaker>/<session>/<file>", path=True)
    layout: str = option("auto", LAYOUT_HELP, choices=LAYOUTS)
    speaker_pattern: str = option("", SPEAKER_PATTERN_HELP)
    data_list: str = option("", DATA_LIST_HELP, path=True)
    verification_file: str = option("veri_test2.txt", "trial list; looked for as given, then in data_folder", path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    train_annotation: str = option(
        "./augmented/save/train.csv",
        "table to draw the cohort from; where it is absent, data_folder's speakers that are in no trial are taken",
        path=True,
    )
    train_data_folder: str = option(
        "", "training corpus that train_annotation describes; data_prepare.sh fills it in when empty", path=True
    )
    skip_prep: bool = option(False, "use the tables as they are; it is an error when they are absent")
    n_train_snts: int = option(400000, "most utterances of the cohort", minimum=1)
    sentence_len: float = option(3.0, "length taken of a cohort utterance, s", above=0)
    random_chunk: bool = option(True, "take it at a random position; false: from the start")
    whole_utterance: bool = option(False, "take cohort utterances whole")
    n_mels: int = option(80, "mel bins of a feature frame", minimum=1)
    frontend: str = option("builtin", FRONTEND_HELP, choices=FRONTENDS)
    min_duration: float = option(0.1, "shortest usable recording, s", minimum=MIN_DURATION_S)
    max_clipped_fraction: float = option(0.2, "largest share of a recording's samples at full scale", minimum=0)
    use_db_normalization: bool = option(
        False, "bring each recording to the level target_dB", name="use_dB_normalization"
    )
    target_db: float = option(-20.0, "that level, root mean square, dB below full scale", name="target_dB", below=0)
    max_bad_fraction: float = option(0.05, "unusable share of the cohort at which preparation stops", minimum=0)
    seed: int = option(1234, "seed of the cohort's choice and of the chunks' positions", minimum=0)
    num_processes: int = option(0, NUM_PROCESSES_HELP, minimum=0)
    verify: bool = option(False, "check every byte of the finished stores, and make nothing")

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        return []


@dataclass
class Config(AugmentationOptions):
    """ecapa-tdnn_config.yaml: training, evaluation, export and inference."""

    on_command_line: ClassVar[frozenset[str]] = frozenset()  # attributes that `load_config` found there

    # model and objective
    model: str = option("ecapa_tdnn", "architecture; see docs/weights.md", choices=("ecapa_tdnn", "wespeaker_ecapa"))
    in_channels: int = option(80, "feature size: mel bins of a frame", name="inChannels", minimum=1)
    channels: int = option(1024, "channels of the frame-level layers, a multiple of 8", minimum=8)
    emb_size: int = option(192, "size of an embedding", minimum=1)
    global_context: bool = option(True, "attention sees the utterance's mean and deviation")
    class_num: int = option(0, "training speakers; auto takes the store's number", name="CLASS_NUM", parse=_class_num)
    margin: float = option(0.2, "additive angular margin, radians", minimum=0, below=1.5)
    margin_start: float = option(0.0, "margin before margin_from_epoch, radians", minimum=0, below=1.5)
    margin_from_epoch: float = option(1.0, "epoch (from 1) at whose start the margin begins to grow", minimum=1)
    margin_to_epoch: float = option(
        1.0, "epoch at whose start it has grown to margin; 1: margin from the start", minimum=1
    )
    margin_growth: str = option(
        "exponential", "how it grows: fast at first, or evenly", choices=("exponential", "linear")
    )
    scale: float = option(30.0, "factor on the cosines before softmax", above=0)
    batch_norm: str = option(
        "local",
        "what batch norms normalise by in training: the batch of each device, or what evaluation uses, unchanged",
        choices=("local", "frozen"),
    )
    sub_centers: int = option(1, "centres of each speaker, of which the nearest counts", minimum=1)
    inter_topk: int = option(0, "nearest other speakers that are pulled nearer still; 0: none", minimum=0)
    inter_topk_margin: float = option(
        0.06, "by what angle, radians, at the full margin; grows with it", minimum=0, below=1.5
    )
    # optimisation
    optimizer: str = option("adam", "how gradients change weights", choices=("adam", "sgd"))
    schedule: str = option(
        "cyclic", "how the learning rate changes; docs/recipes.md", choices=("cyclic", "exponential", "cosine")
    )
    base_lrate: float = option(1e-6, "least learning rate: of the cycle, or at the end", minimum=0)
    max_lrate: float = option(1e-4, "greatest learning rate: of the cycle, or where the decay begins", above=0)
    step_size: int = option(65000, "half of a cycle, steps", minimum=1)
    cycle_peak: float = option(0.5, "share of a cycle in which the learning rate rises", above=0, below=1)
    warmup_epochs: float = option(0.0, "epochs in which the learning rate rises from 0 when not cyclic", minimum=0)
    scale_lrate: str = option(
        "none",
        "factor on the learning rate when devices times accumulate_steps is n: 1, n or its root; cycles shrink by n",
        choices=("none", "linear", "sqrt"),
    )
    momentum: float = option(0.95, "Adam's beta1, or SGD's momentum", minimum=0, below=1)
    nesterov: bool = option(True, "SGD looks ahead along its momentum")
    weight_decay: float = option(2e-6, "L2 penalty on weights and biases", name="weightDecay", minimum=0)
    clip_grad_norm: float = option(5.0, "greatest global norm of the gradients; 0: no clipping", minimum=0)
    accumulate_steps: int = option(1, "batches whose mean gradient makes one change of the weights", minimum=1)
    ema_decay: float = option(
        0.0, "decay of a moving average of the weights, which evaluation then uses; 0: none", minimum=0, below=1
    )
    amp_level: str = option(
        "O0", "precision: O0 float32; O2 float16 but for batch norms; O3 float16", choices=("O0", "O2", "O3")
    )
    loss_scale: Union[str, float] = option(
        "auto",
        "factor on the loss in the backward pass: a number, 1 for none; dynamic; auto: dynamic unless amp_level is O0",
        parse=_loss_scale,
    )
    loss_scale_start: float = option(65536.0, "first value of a dynamic loss_scale", minimum=1)
    loss_scale_window: int = option(2000, "steps without overflow after which a dynamic loss_scale doubles", minimum=1)
    num_epochs: int = option(3, "passes over the training data", minimum=1)
    minibatch_size: int = option(192, "utterances in a step", minimum=2)
    train_frames: int = option(301, "frames of a training crop (301: 3 s)", minimum=9)
    max_train_minutes: float = option(
        0.0,
        "train so long with one cycle of the learning rate, whatever num_epochs and step_size say; 0: off",
        minimum=0,
    )
    seed: int = option(0, "seed of initial weights, order and crops", minimum=0)
    # training files
    train_data_path: str = option(
        "", "training store: the folder that train_data_prepare.py or merge_data.py wrote", path=True
    )
    pre_trained: bool = option(False, "start from checkpoint_path")
    checkpoint_path: str = option("", "checkpoint (or folder of them) to start from when pre_trained", path=True)
    ckpt_save_dir: str = option("./ckpt/", "folder of the checkpoints", path=True)
    resume: str = option(
        "no",
        "go on with an earlier run: no, auto (ckpt_save_dir's newest whole checkpoint), or a checkpoint",
        parse=_resume,
        path=True,
    )
    keep_checkpoint_max: int = option(30, "newest checkpoints to keep", minimum=1)
    save_checkpoint_epochs: int = option(
        1, "write a checkpoint every so many epochs, at most one a minute; 0: off", minimum=0
    )
    save_checkpoint_steps: int = option(0, "write a checkpoint every so many steps; 0: off", minimum=0)
    save_checkpoint_minutes: float = option(0.0, "write a checkpoint every so many minutes; 0: off", minimum=0)
    on_full_disk: str = option(
        "stop", "when there is no room for a checkpoint: stop, or continue without it", choices=("stop", "continue")
    )
    log_steps: int = option(100, "steps between two lines of the log", minimum=1)
    tensorboard: bool = option(True, "write event files for TensorBoard into ckpt_save_dir/tensorboard")
    num_workers: int = option(1, "threads that crop batches of features, processes that augment waveforms", minimum=1)
    # validation in training
    valid_trials: str = option(
        "", "trial list in VoxCeleb's form; looked for as given, then in valid_data_path", path=True
    )
    valid_data_path: str = option("", "evaluation store with the utterances of valid_trials", path=True)
    valid_utterances: int = option(
        0, "instead of valid_trials: training utterances held out, whose halves are compared; 0: none", minimum=0
    )
    valid_steps: int = option(0, "validate every so many steps; 0: off", minimum=0)
    valid_epochs: int = option(1, "validate at the end of every so many epochs; 0: off", minimum=0)
    # augmentation in training, besides the keys above
    speed_classes: bool = option(False, "each speed but 1.0 makes new speakers: label + speakers * number of the speed")
    spec_augment: float = option(0.0, "share of crops with masked frames and bins", minimum=0)
    spec_augment_frames: int = option(10, "most frames of a mask", minimum=0)
    spec_augment_bins: int = option(8, "most bins of a mask", minimum=0)
    # evaluation
    eval_data_path: str = option("", "evaluation store: feat_eval_folder of prepare_eval.yaml", path=True)
    veri_file_path: str = option("veri_test2.txt", "trial list; looked for as given, then in eval_data_path", path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    exclude_list: str = option("", "utterances, one a line, whose trials are left out; empty: none are", path=True)
    repeated_trials: str = option("error", "what a pair that stands twice in the list is", choices=("error", "keep"))
    model_path: str = option("", "checkpoint to evaluate; a folder: its last one", path=True)
    allow_seen_speakers: bool = option(False, "accept trials of speakers that the model was trained on")
    cut_wav: bool = option(
        False,
        "use only the first cut_frames frames, as a fixed-length model does",
        aliases=("wav_cut",),
    )
    cut_frames: int = option(301, "frames kept by cut_wav", minimum=9)
    eval_crops: int = option(0, "crops of each utterance, spread evenly, scored pair by pair; 0: the whole", minimum=0)
    eval_frames: int = option(300, "frames of each of the eval_crops", minimum=9)
    crop_score: str = option(
        "distance",
        "mean over all pairs of crops: negated Euclidean distance of unit vectors, or cosine",
        choices=("distance", "cosine"),
    )
    sub_mean: str = option("cohort", "whose mean embedding is subtracted", choices=("cohort", "test"))
    score_norm: str = option("s-norm", "score normalisation", choices=("s-norm", "z-norm", "t-norm", "none"))
    train_norm_path: str = option(
        "", "cohort store: feat_norm_folder of prepare_eval.yaml; empty: no cohort", path=True
    )
    cohort_size: int = option(20000, "best cohort scores used for each side of a trial", minimum=2)
    cohort_over: str = option(
        "utterance",
        "what the cohort consists of: utterances, or each speaker's mean embedding",
        choices=("utterance", "speaker"),
    )
    norm_std: str = option(
        "population", "deviation of cohort scores; SpeechBrain: unbiased", choices=("population", "unbiased")
    )
    target_far: float = option(0.01, "false-alarm rate that a threshold is given for", above=0, below=1)
    bootstrap: int = option(0, "draws of speakers for 95% intervals, such as 1000; 0: no intervals", minimum=0)
    bootstrap_seed: int = option(0, "seed of the draws", minimum=0)
    npy_file_path: str = option("./npys/", "folder of embeddings, scores and results", path=True)
    eval_batch_size: int = option(16, "utterances of equal length that go through the model at once", minimum=1)
    max_frames: int = option(
        15000,
        "most frames that go through the model at once; longer utterances are embedded in windows and averaged; "
        "0: no limit",
        minimum=0,
    )
    # export
    exp_ckpt_file: str = option("", "checkpoint to export; empty: model_path", path=True)
    file_name: str = option("ecapatdnn", "exported file, with or without suffix", path=True)
    file_format: str = option("MINDIR", "format of the exported file", choices=("MINDIR", "ONNX", "IR", "AIR"))
    mindir_version: int = option(
        3, "version of the MINDIR format; 1: for MindSpore Lite 2.0 and later, in Lite's own form", choices=(1, 3)
    )
    input_kind: str = option(
        "fbank",
        "what the exported model takes; waveform: the front end is inside",
        name="input",
        choices=("fbank", "waveform"),
    )
    outputs: str = option("embedding", "what the exported model gives", choices=("embedding", "embedding,attention"))
    batch_size: int = option(1, "utterances that the exported model takes at once; 0: any number", minimum=0)
    length: int = option(301, "frames that the exported model takes; 0: any number", minimum=0)
    channel: int = option(80, "feature size of the exported model, which must be the checkpoint's", minimum=1)
    # device
    device_target: str = option("auto", "where to run", choices=("auto", "CPU", "GPU", "Ascend"))
    device_id: int = option(0, "number of the device", minimum=0)
    run_distribute: bool = option(False, "train on several devices; scripts/run_distribute_train.sh sets it")

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        if self.channels % 8:
            found.append(f"channels: expected a multiple of 8, got {self.channels}.")
        if self.base_lrate > self.max_lrate:
            found.append(f"base_lrate: expected at most max_lrate {self.max_lrate:g}, got {self.base_lrate:g}.")
        if self.schedule == "exponential" and self.base_lrate == 0:
            found.append("base_lrate: an exponential schedule cannot end at 0.")
        if self.schedule == "cyclic" and self.warmup_epochs:
            found.append("warmup_epochs: expected 0 with schedule cyclic, which rises by itself.")
        if self.warmup_epochs >= self.num_epochs:
            found.append(f"warmup_epochs: expected less than num_epochs {self.num_epochs}, got {self.warmup_epochs:g}.")
        if self.margin_from_epoch > self.margin_to_epoch:
            found.append(
                f"margin_from_epoch: expected at most margin_to_epoch {self.margin_to_epoch:g}, got "
                f"{self.margin_from_epoch:g}."
            )
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            found.append("nesterov: needs a momentum above 0.")
        if self.pre_trained and not self.checkpoint_path:
            found.append("checkpoint_path: pre_trained needs the checkpoint to start from.")
        found += self._validation_problems()
        if self.cut_wav and self.eval_crops:
            found.append("eval_crops: expected 0 with cut_wav, which keeps one piece of each utterance.")
        if 0 < self.max_frames < 18:
            found.append(f"max_frames: expected 0 or at least 18 frames, got {self.max_frames}.")
        if 0 < self.length < 9:
            found.append(f"length: expected 0 or at least 9 frames, got {self.length}.")
        if self.file_format == "AIR" and (self.input_kind == "waveform" or not (self.batch_size and self.length)):
            found.append("file_format: AIR takes input fbank, and a batch_size and a length above 0.")
        if self.mindir_version == 1 and self.file_format != "MINDIR":
            found.append(f"mindir_version: 1 is for file_format MINDIR, got {self.file_format}.")
        if self.mindir_version == 1 and self.input_kind == "waveform" and not (self.batch_size and self.length):
            found.append("mindir_version: with input waveform, 1 takes a batch_size and a length above 0.")
        if self.spec_augment > 1:
            found.append(f"spec_augment: expected a share between 0 and 1, got {self.spec_augment:g}.")
        if self.speed_classes and 1.0 not in self.speeds:
            found.append("speeds: speed_classes needs 1.0 among them, the speed that keeps its label.")
        return found

    def _validation_problems(self) -> list[str]:
        found = []
        if bool(self.valid_trials) != bool(self.valid_data_path):
            found.append("valid_trials: expected together with valid_data_path, the store of its utterances.")
        if self.valid_trials and self.valid_utterances:
            found.append("valid_utterances: expected 0 with valid_trials: give one of them.")
        validates = self.valid_trials or self.valid_utterances
        if self.valid_steps and not validates:
            found.append("valid_steps: there is nothing to validate with: set valid_trials or valid_utterances.")
        if validates and not (self.valid_steps or self.valid_epochs):
            found.append(
                "valid_epochs: expected valid_steps or valid_epochs above 0 with valid_trials or valid_utterances."
            )
        return found


CONFIGS = {cls.__name__: cls for cls in (TrainPrepConfig, EvalPrepConfig, Config)}


def spellings(field: dataclasses.Field) -> list[str]:
    """Return the accepted names of a key, the one that is printed and saved first."""
    names = [field.metadata["name"] or field.name, field.name, *field.metadata["aliases"]]
    return list(dict.fromkeys(names))


def load_config(cls: type[T], argv: Optional[Sequence[str]] = None, default_path: Optional[str] = None) -> T:
    """Build a configuration from its YAML file and the command line.

    Args:
        cls: TrainPrepConfig and EvalPrepConfig take the YAML as first argument, Config as `--config_path FILE`.
        argv: arguments without the program's name; None for sys.argv.
        default_path: the YAML when none is named; by default the one that ships with the project.

    Returns:
        The configuration; its `on_command_line` holds the attributes that the command line gave.

    Raises:
        UsageError: all problems of file and command line in one message.
    """
    parser = _parser(cls, default_path or _shipped_path(cls))
    given, unknown = parser.parse_known_args(argv)
    arguments = vars(given)
    path = arguments.pop("config_path")
    problems = [
        _unknown_key(cls, word.lstrip("-").split("=")[0], "command line") for word in unknown if word.startswith("-")
    ]
    problems += [f"command line: did not expect {word!r}." for word in unknown if not word.startswith("-")]
    values: dict[str, Any] = {}
    for source, items in ((str(path), _read_yaml(path)), ("command line", arguments)):
        named, wrong = _by_attribute(cls, items, source)
        values.update(named)
        problems += wrong
    config, wrong = _convert(cls, values)
    problems += wrong
    if not problems:
        problems += config.problems()
    if problems:
        raise UsageError("\n  ".join(["the configuration has these problems:", *problems]))
    config.on_command_line = frozenset(named)
    return config


def load_paths_and_config(
    argv: Optional[Sequence[str]], prog: str, description: str, **paths: str
) -> tuple[argparse.Namespace, Config]:
    """Take paths from the front of a command line and a Config from what follows them.

    Args:
        argv: arguments without the program's name; None for sys.argv.
        prog, description: for --help.
        paths: name of each path and its meaning, in their order.

    Raises:
        UsageError: a path is missing, or the configuration is wrong.
    """
    words = sys.argv[1:] if argv is None else argv
    parser = _Parser(
        prog=prog,
        description=description,
        epilog="Every key of ecapa-tdnn_config.yaml is accepted after these; `python eval.py --help` lists them.",
    )
    for name, meaning in paths.items():
        parser.add_argument(name, type=user_path, metavar=name.upper(), help=meaning)
    return parser.parse_args(words[: len(paths)]), load_config(Config, words[len(paths) :])


def require(config: Any, *attributes: str) -> None:
    """Raise UsageError unless each of these keys has a value."""
    names = {field.name: spellings(field)[0] for field in fields(config)}
    missing = [names[name] for name in attributes if not getattr(config, name)]
    if missing:
        raise UsageError(f"not set: {', '.join(missing)}. Set each in the YAML file or give --{missing[0]}=VALUE.")


def to_dict(config: Any) -> dict[str, Any]:
    """Return a resolved configuration under the names that its file uses."""
    values = {spellings(field)[0]: getattr(config, field.name) for field in fields(config)}
    if values.get("CLASS_NUM") == 0:
        values["CLASS_NUM"] = "auto"
    return values


def save_config(config: Any, path: PathLike) -> None:
    """Write a resolved configuration as YAML that load_config reads."""
    values = to_dict(config)
    for field in fields(config):
        if field.metadata["path"]:
            values[spellings(field)[0]] = escape_path(values[spellings(field)[0]])
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _shipped_path(cls: type) -> Path:
    names = {"TrainPrepConfig": "hparams/prepare_train.yaml", "EvalPrepConfig": "hparams/prepare_eval.yaml"}
    return ROOT / names.get(cls.__name__, "ecapa-tdnn_config.yaml")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(f"{message}. See --help.")


def _parser(cls: type, default_path: PathLike) -> argparse.ArgumentParser:
    parser = _Parser(description=cls.__doc__, allow_abbrev=False)
    if cls is Config:
        parser.add_argument(
            "--config_path", type=user_path, default=default_path, metavar="FILE", help="YAML file to read"
        )
    else:
        parser.add_argument(
            "config_path", type=user_path, nargs="?", default=default_path, metavar="FILE", help="YAML file to read"
        )
    types = get_type_hints(cls)
    augmentation = parser.add_argument_group("augmentation") if issubclass(cls, AugmentationOptions) else parser
    inherited = {field.name for field in fields(AugmentationOptions)}
    for field in fields(cls):
        group = augmentation if field.name in inherited else parser
        for index, name in enumerate(spellings(field)):
            text = _help(field) if index == 0 else argparse.SUPPRESS
            extra = {"nargs": "?", "const": True} if types[field.name] is bool else {}
            shown = "PATH" if field.metadata["path"] else "VALUE"
            group.add_argument(f"--{name}", dest=name, default=argparse.SUPPRESS, metavar=shown, help=text, **extra)
    return parser


def _help(field: dataclasses.Field) -> str:
    others = spellings(field)[1:]
    default = "auto" if field.name == "class_num" else field.default
    text = field.metadata["help"]
    if field.metadata["choices"]:
        text += f" [{' | '.join(map(str, field.metadata['choices']))}]"
    if others:
        text += f"; also --{', --'.join(others)}"
    return f"{text} (default: {default!r})".replace("%", "%%")


class _Loader(yaml.SafeLoader):
    """YAML whose values stay as they are written, plus `!ref`; other tags are refused, so nothing is executed.

    YAML 1.1 would turn 2024_05_01 into a number, 1:30 into 90, `on` into true and 2024-05-01 into a date. Each key
    knows its type and converts its text by itself; only an empty value, `~` and `null` are None.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


for _kind in ("bool", "int", "float", "timestamp", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", lambda loader, node: loader.construct_scalar(node))
_Loader.add_constructor("!ref", lambda loader, node: Reference(loader.construct_scalar(node)))


def _read_yaml(path: PathLike) -> dict[str, Any]:
    try:
        content = yaml.load(read_text(path, "configuration file"), Loader=_Loader)  # a SafeLoader
    except InputError as error:
        raise UsageError(str(error)) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not a YAML file of this project: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected lines of 'key: value', got a {type(content).__name__}.")
    return content


def _by_attribute(cls: type, items: dict[str, Any], source: str) -> tuple[dict[str, Any], list[str]]:
    """Sort given keys under their attribute: {attribute: (source, key, value)}, and what is wrong with them."""
    attribute_of = {name: field.name for field in fields(cls) for name in spellings(field)}
    values: dict[str, Any] = {}
    problems = []
    for key, value in items.items():
        attribute = attribute_of.get(str(key))
        if attribute is None:
            problems.append(_unknown_key(cls, str(key), source))
        elif attribute in values:
            problems.append(f"{source}: '{values[attribute][1]}' and '{key}' are two names of one key: give one.")
        else:
            values[attribute] = (source, key, value)
    return values, problems


def _unknown_key(cls: type, key: str, source: str) -> str:
    known = {name.lower(): name for field in fields(cls) for name in spellings(field)}
    near = difflib.get_close_matches(key.lower(), known, n=1)
    return f"{source}: unknown key '{key}'" + (
        f"; did you mean '{known[near[0]]}'?" if near else "; --help lists them."
    )


def _convert(cls: type[T], values: dict[str, Any]) -> tuple[Optional[T], list[str]]:
    """Resolve references, convert to the attributes' types and check bounds."""
    types = get_type_hints(cls)
    raw = {field.name: values.get(field.name, ("default", spellings(field)[0], field.default)) for field in fields(cls)}
    attribute_of = {name: field.name for field in fields(cls) for name in spellings(field)}
    converted, problems = {}, []
    for field in fields(cls):
        source, key, value = raw[field.name]
        try:
            if isinstance(value, Reference):
                value = _resolve(value, raw, attribute_of, (field.name,))
            if field.name in values:
                value = _typed(value, types[field.name], field.metadata)
            if field.metadata["path"]:
                value = expand_path(value)
            converted[field.name] = value
        except ValueError as error:
            problems.append(f"{source}: {key}: {error}, got {value!r}.")
    return (None if problems else cls(**converted)), problems


def _resolve(text: str, raw: dict[str, Any], attribute_of: dict[str, str], seen: tuple[str, ...]) -> str:
    def substitute(match: re.Match) -> str:
        attribute = attribute_of.get(match.group(1))
        if attribute is None:
            raise ValueError(f"expected a reference to a key of this file, not to '{match.group(1)}'")
        if attribute in seen:
            raise ValueError(f"expected references without a circle through '{match.group(1)}'")
        value = raw[attribute][2]
        if isinstance(value, Reference):
            value = _resolve(value, raw, attribute_of, (*seen, attribute))
        return str(value)

    return re.sub(r"(?<!:)//+", "/", REFERENCE.sub(substitute, text))  # "<folder>/save" of "x/" is x/save


def _typed(value: Any, kind: type, metadata: Any) -> Any:
    if metadata["parse"]:
        return metadata["parse"](value)
    value = _scalar(value, kind)
    if metadata["choices"] and value not in metadata["choices"]:
        raise ValueError(f"expected one of {', '.join(map(str, metadata['choices']))}")
    for word, bound, holds in (
        ("at least", metadata["minimum"], lambda v, b: v >= b),
        ("more than", metadata["above"], lambda v, b: v > b),
        ("less than", metadata["below"], lambda v, b: v < b),
    ):
        if bound is not None and not holds(value, bound):
            raise ValueError(f"expected {word} {bound:g}")
    return value


def _scalar(value: Any, kind: type) -> Any:
    if kind is str:
        if value is None:
            return ""
        if isinstance(value, (dict, list)):
            raise ValueError("expected one text")
        return str(value)
    if kind is bool:
        if str(value).lower() in TRUE + FALSE:
            return str(value).lower() in TRUE
        raise ValueError("expected true or false")
    if isinstance(value, (bool, dict, list)) or value is None:
        raise ValueError("expected a number")
    try:
        number = float(value)
    except ValueError:
        raise ValueError("expected a number") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("expected a finite number")
    if kind is int:
        if number != int(number):
            raise ValueError("expected a whole number")
        return int(number)
    return number


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print the resolved configuration, or with --keys alone every accepted spelling of its keys, one a line."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name not in CONFIGS:
        raise UsageError(f"usage: python -m src.config {{{','.join(CONFIGS)}}} {{--keys | ARGUMENT ...}}")
    if rest == ["--keys"]:
        print("\n".join(spelling for field in fields(CONFIGS[name]) for spelling in spellings(field)))
    else:
        print(yaml.safe_dump(to_dict(load_config(CONFIGS[name], rest)), sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
