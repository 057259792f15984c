"""The keys of each command. Each class holds a group of keys that commands share."""

from dataclasses import dataclass
from typing import Union

from mindvox.config import parsers
from mindvox.config.choice import Choice, section
from mindvox.config.option import Reference, option
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, SAMPLERS, SCHEDULES

NUM_PROCESSES_HELP = "number of processes on this machine; 0: one per core"
PEERS = ("mvector", "rawnet2", "speechbrain", "voxceleb_trainer", "wespeaker")
TRIAL_FORMATS = ("voxceleb", "kaldi", "voxsrc", "cnceleb")
TRIAL_FORMAT_HELP = (
    "format of the trial list: voxceleb ('1 enrol test'), kaldi ('enrol test target'), cnceleb ('enrol test 1') or "
    "voxsrc ('enrol test', blind)"
)
LAYOUTS = (
    *("auto", "wav", "folders", "flat", "table", "speaker_path", "path_speaker"),
    *("kaldi", "lhotse", "cnceleb", "rawnet"),
)
LAYOUT_HELP = "layout of data_folder (docs/data.md); auto: detect it"
SPEAKER_PATTERN_HELP = "position of the speaker in file names, such as '{speaker}_*'; for layout flat"
DATA_LIST_HELP = (
    "list of the recordings (csv, tsv, two columns, Kaldi folder, lhotse); tried as given, then inside data_folder"
)
MIN_DURATION_S = 0.08  # 9 frames, the fewest that a model takes
ENROL_MAP_HELP = "list of models with several utterances, lines of '<model> <utterance> ...'; empty: none"


FEATURE_BACKENDS = ("builtin", "speechbrain")
FEATURE_BACKEND_HELP = "code that computes features and distortions; speechbrain needs the extra of that name"


def _same(*keys: str) -> dict[str, str]:
    """Return flat keys with the same names as in their section."""
    return {key: key for key in keys}


@dataclass
class AugmentationOptions:
    """Augmentation, shared by preparation and training (docs/augmentation.md)"""

    augmentations: tuple[str, ...] = option(
        ("clean",),
        "augmentation stages, weighted as in clean:0.4; each crop draws one, preparation makes a copy for each: "
        "clean, augment_wavedrop, augment_speed, add_rev, add_noise, add_rev_noise, or steps joined by '+'",
        parse=parsers.stage_names,
        fixed=True,
    )
    noise_folder: str = option("", "folder of noise recordings: MUSAN, or any folder of audio", path=True)
    rir_folder: str = option("", "folder of room responses: RIRS_NOISES, or any folder of audio", path=True)
    noise_snr: tuple[float, float] = option(
        (0.0, 15.0), "speech-to-noise ratio, dB: [least, greatest]", parse=parsers.span(), fixed=True
    )
    music_snr: tuple[float, float] = option(
        (5.0, 15.0), "ratio of speech to MUSAN's music, dB: [least, greatest]", parse=parsers.span(), fixed=True
    )
    speech_snr: tuple[float, float] = option(
        (13.0, 20.0), "ratio of speech to MUSAN's speech, dB: [least, greatest]", parse=parsers.span(), fixed=True
    )
    babble_snr: tuple[float, float] = option(
        (13.0, 20.0), "ratio of speech to babble, dB: [least, greatest]", parse=parsers.span(), fixed=True
    )
    babble_voices: tuple[int, int] = option(
        (3, 7),
        "number of utterances mixed into babble: [least, greatest]",
        parse=parsers.span(1, 100, whole=True),
        fixed=True,
    )
    speeds: tuple[float, ...] = option(
        (0.95, 1.0, 1.05), "speed factors, drawn with equal probability", parse=parsers.speeds, fixed=True
    )
    drop_freq_count: tuple[int, int] = option(
        (1, 3),
        "number of frequency bands that drop_freq removes: [least, greatest]",
        parse=parsers.span(0, 100, whole=True),
        fixed=True,
    )
    drop_freq_width: float = option(
        0.05,
        "width of a band that drop_freq removes, as a share of half the sampling rate",
        above=0,
        below=1,
        fixed=True,
    )
    drop_chunk_count: tuple[int, int] = option(
        (1, 5),
        "number of stretches that drop_chunk silences: [least, greatest]",
        parse=parsers.span(0, 100, True),
        fixed=True,
    )
    drop_chunk_length: tuple[int, int] = option(
        (1000, 2000),
        "length of a stretch that drop_chunk silences, samples: [least, greatest]",
        parse=parsers.span(1, 160000, True),
        fixed=True,
    )
    volume_peak: tuple[float, float] = option(
        (0.5, 1.5),
        "peak after the step volume, full scale 1: [least, greatest]",
        parse=parsers.span(0.01, 10),
        fixed=True,
    )
    clip_share: tuple[float, float] = option(
        (0.3, 0.9),
        "clipping level of the step clip, as a share of the peak: [least, greatest]",
        parse=parsers.span(0.01, 1),
        fixed=True,
    )
    feature_backend: str = option(
        "builtin", FEATURE_BACKEND_HELP, aliases=("frontend",), choices=FEATURE_BACKENDS, fixed=True
    )

    @property
    def speed_percents(self) -> tuple[int, ...]:
        """Return the speeds as percentages."""
        return tuple(round(100 * factor) for factor in self.speeds)


@dataclass
class ModelOptions:
    """Model and objective"""

    model: Choice = section(
        MODELS,
        "ecapa_tdnn",
        "architecture; docs/models.md",
        {"inChannels": "in_channels", **_same("in_channels", "channels", "emb_size", "global_context")},
    )
    loss: Choice = section(
        LOSSES,
        "aam_softmax",
        "objective",
        {
            **_same("margin", "margin_start", "margin_from_epoch", "margin_to_epoch", "margin_growth"),
            **_same("scale", "sub_centers", "inter_topk", "inter_topk_margin"),
        },
    )
    front_end: Choice = section(
        FRONT_ENDS,
        "fbank",
        "features computed from a store of waveforms, of size inChannels by default; other stores and checkpoints have "
        "their own",
        {},
    )
    sampler: Choice = section(SAMPLERS, "shuffle", "sampler: the order of the training records", {})
    class_num: int = option(
        0,
        "number of training speakers; must match the store; auto: the store's number (7205 in VoxCeleb1 and 2)",
        name="CLASS_NUM",
        parse=parsers.class_num,
    )


@dataclass
class OptimisationOptions:
    """Optimisation"""

    batch_norm: str = option(
        "local",
        "statistics of batch norms in training: local (each device's batch) or frozen (the running ones, unchanged)",
        choices=("local", "frozen"),
        fixed=True,
    )
    frozen_parts: tuple[str, ...] = option(
        (),
        "parts of the model that training does not change, as prefixes of parameter names such as head,blocks.0",
        parse=parsers.part_names,
        fixed=True,
    )
    optimizer: str = option("adam", "optimiser", choices=("adam", "sgd"), fixed=True)
    amsgrad: bool = option(
        False, "divide Adam's step by the greatest second moment so far instead of the current one", fixed=True
    )
    schedule: Choice = section(
        SCHEDULES,
        "cyclic",
        "learning rate schedule; docs/recipes.md",
        _same("base_lrate", "max_lrate", "step_size", "cycle_peak", "warmup_epochs"),
        of_all=True,
    )
    scale_lrate: str = option(
        "none",
        "scaling of the learning rate by n = devices x accumulate_steps: none, linear or sqrt; cycles shrink by n",
        choices=("none", "linear", "sqrt"),
        fixed=True,
    )
    momentum: float = option(0.95, "Adam's beta1 (beta2 is 0.999), or SGD's momentum", minimum=0, below=1, fixed=True)
    nesterov: bool = option(True, "use Nesterov momentum in SGD", fixed=True)
    weight_decay: float = option(2e-6, "L2 penalty on weights and biases", name="weightDecay", minimum=0, fixed=True)
    clip_grad_norm: float = option(
        5.0, "greatest global norm of the gradients; larger ones are scaled down; 0: no clipping", minimum=0, fixed=True
    )
    accumulate_steps: int = option(
        1, "number of batches whose gradients are averaged into one update of the weights", minimum=1, fixed=True
    )
    ema_decay: float = option(
        0.0,
        "decay of an exponential moving average of the weights, which evaluation then uses; 0: off",
        minimum=0,
        below=1,
        fixed=True,
    )
    amp_level: str = option(
        "O0",
        "precision: O0 float32; O2 float16 except batch norms; O3 float16",
        choices=("O0", "O2", "O3"),
        fixed=True,
    )
    loss_scale: Union[str, float] = option(
        "auto",
        "loss scale: a number (1: off), dynamic, or auto (dynamic unless amp_level is O0)",
        parse=parsers.loss_scale,
        fixed=True,
    )
    loss_scale_start: float = option(65536.0, "initial value of a dynamic loss_scale", minimum=1, fixed=True)
    loss_scale_window: int = option(
        2000, "number of steps without overflow after which a dynamic loss_scale doubles", minimum=1, fixed=True
    )
    num_epochs: int = option(3, "number of passes over the training data", minimum=1)
    minibatch_size: int = option(192, "batch size of each device, utterances", minimum=2, fixed=True)
    train_frames: int = option(301, "length of a training crop, frames (301: 3 s)", minimum=9, fixed=True)
    max_train_minutes: float = option(
        0.0,
        "training time, minutes, with one cycle of the learning rate; overrides num_epochs and step_size; 0: off",
        minimum=0,
    )
    seed: int = option(0, "random seed of initial weights, order and crops", minimum=0, fixed=True)

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        warmup_epochs = 0 if self.schedule.problems() else getattr(self.schedule.options, "warmup_epochs", 0)
        if warmup_epochs >= self.num_epochs:
            found.append(f"warmup_epochs: expected less than num_epochs {self.num_epochs}, got {warmup_epochs:g}.")
        if self.amsgrad and self.optimizer != "adam":
            found.append(f"amsgrad: works with optimizer adam only, got {self.optimizer}.")
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            found.append("nesterov: needs a momentum above 0.")
        return found


@dataclass
class TrainingFilesOptions:
    """Training data, checkpoints and log"""

    train_data_path: str = option(
        "", "training store: a folder written by train_data_prepare.py or merge_data.py", path=True
    )
    pre_trained: bool = option(False, "start from the weights of checkpoint_path")
    checkpoint_path: str = option(
        "", "initial weights for pre_trained: a checkpoint, a folder of checkpoints or a public model's name", path=True
    )
    imprint_utterances: int = option(
        0,
        "number of recordings of each speaker whose mean embedding starts the speaker's vector in a new classifier, "
        "with pre_trained and other speakers than the checkpoint's; 0: random vectors",
        minimum=0,
    )
    ckpt_save_dir: str = option(
        "./ckpt/", "folder for the checkpoints; must hold none of another run unless that run is resumed", path=True
    )
    resume: str = option(
        "no",
        "whether to resume a run: no, auto (from the newest complete checkpoint of ckpt_save_dir) or a checkpoint",
        parse=parsers.resume,
        path=True,
    )
    keep_checkpoint_max: int = option(30, "number of newest checkpoints to keep besides the best", minimum=1)
    save_checkpoint_epochs: int = option(
        1, "interval between checkpoints, epochs, at most one a minute; 0: off", minimum=0
    )
    save_checkpoint_steps: int = option(0, "interval between checkpoints, steps; 0: off", minimum=0)
    save_checkpoint_minutes: float = option(0.0, "interval between checkpoints, minutes; 0: off", minimum=0)
    on_full_disk: str = option(
        "stop",
        "reaction to a disk too full for a checkpoint: stop, or continue without it",
        choices=("stop", "continue"),
    )
    log_steps: int = option(100, "interval between lines of the log, steps", minimum=1)
    tensorboard: bool = option(True, "write event files for TensorBoard into ckpt_save_dir/tensorboard")
    num_workers: int = option(
        1, "number of threads that crop batches of features, or of processes that augment waveforms", minimum=1
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if self.pre_trained and not self.checkpoint_path:
            found.append("checkpoint_path: expected a checkpoint to start from, because pre_trained is set.")
        if self.imprint_utterances and not self.pre_trained:
            found.append("imprint_utterances: expected 0 without pre_trained: a new network knows no voices.")
        return found


@dataclass
class ValidationOptions:
    """Validation during training"""

    valid_trials: str = option(
        "", "trial list for validation, in VoxCeleb's format; tried as given, then inside valid_data_path", path=True
    )
    valid_data_path: str = option(
        "", "evaluation store with the utterances of valid_trials; not the store of the final evaluation", path=True
    )
    valid_utterances: int = option(
        0,
        "number of training utterances to hold out, whose halves are compared, in place of valid_trials; 0: none",
        minimum=0,
        fixed=True,
    )
    valid_steps: int = option(0, "interval between validations, steps; 0: off", minimum=0)
    valid_epochs: int = option(1, "interval between validations, epochs; 0: off", minimum=0)

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if bool(self.valid_trials) != bool(self.valid_data_path):
            found.append("valid_trials: expected together with valid_data_path, the store of its utterances.")
        if self.valid_trials and self.valid_utterances:
            found.append("valid_utterances: expected 0 together with valid_trials: set only one of them.")
        validates = self.valid_trials or self.valid_utterances
        if self.valid_steps and not validates:
            found.append("valid_steps: there is nothing to validate with: set valid_trials or valid_utterances.")
        if validates and not (self.valid_steps or self.valid_epochs):
            found.append(
                "valid_epochs: expected valid_steps or valid_epochs above 0 with valid_trials or valid_utterances."
            )
        return found


@dataclass
class MaskOptions:
    """Augmentation during training"""

    speed_classes: bool = option(
        False, "treat each speed but 1.0 as new speakers: label + speakers * number of the speed", fixed=True
    )
    spec_augment: float = option(
        0.0, "share of crops with masked frames and bins; works with stores of features too", minimum=0, fixed=True
    )
    spec_augment_frames: int = option(10, "greatest length of a mask in time, frames", minimum=0, fixed=True)
    spec_augment_bins: int = option(8, "greatest width of a mask in frequency, bins", minimum=0, fixed=True)

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if self.spec_augment > 1:
            found.append(f"spec_augment: expected a share between 0 and 1, got {self.spec_augment:g}.")
        return found


@dataclass
class EvaluationOptions:
    """Trials, embeddings and scores"""

    eval_data_path: str = option("", "evaluation store: the feat_eval_folder of prepare_eval.yaml", path=True)
    veri_file_path: str = option("veri_test2.txt", "trial list; tried as given, then inside eval_data_path", path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    exclude_list: str = option(
        "", "list of utterances, one per line, whose trials are left out; empty: none", path=True
    )
    repeated_trials: str = option(
        "error", "treatment of a pair that occurs twice in the trial list", choices=("error", "keep")
    )
    model_path: str = option("", "checkpoint to evaluate, or a folder whose last checkpoint is taken", path=True)
    allow_seen_speakers: bool = option(False, "accept trials of speakers that the model was trained on")
    cut_wav: bool = option(
        False,
        "use only the first cut_frames frames, like a fixed-length model",
        aliases=("wav_cut",),
    )
    cut_frames: int = option(301, "number of frames that cut_wav keeps", minimum=9)
    eval_crops: int = option(
        0, "number of crops of each utterance, evenly spread and scored pair by pair; 0: use the whole", minimum=0
    )
    eval_frames: int = option(300, "length of each of the eval_crops, frames", minimum=9)
    crop_of: str = option(
        "auto",
        "source of the crops: waveform (eval_frames x 160 + 240 samples), features, or auto (waveform if the stores "
        "hold it)",
        choices=("auto", "waveform", "features"),
    )
    crop_score: str = option(
        "distance",
        "score of a pair of utterances, a mean over all pairs of crops: negated Euclidean distance of unit vectors, or "
        "cosine",
        choices=("distance", "cosine"),
    )
    sub_mean: str = option(
        "cohort",
        "source of the mean embedding that is subtracted: the cohort, or test (the trial list's utterances)",
        choices=("cohort", "test"),
    )
    score_norm: str = option(
        "s-norm",
        "kind of score normalisation against the cohort",
        choices=("s-norm", "z-norm", "t-norm", "none"),
    )
    train_norm_path: str = option(
        "", "cohort store: the feat_norm_folder of prepare_eval.yaml; empty: no cohort", path=True
    )
    cohort_size: int = option(
        20000, "number of best cohort scores for each side of a trial; a smaller cohort is used whole", minimum=2
    )
    cohort_over: str = option(
        "utterance",
        "members of the cohort: utterances, or each speaker's mean embedding",
        choices=("utterance", "speaker"),
    )
    norm_std: str = option(
        "population",
        "standard deviation of cohort scores: population (biased), or unbiased as in SpeechBrain",
        choices=("population", "unbiased"),
    )
    target_far: float = option(0.01, "false-alarm rate for which a threshold is reported", above=0, below=1)
    bootstrap: int = option(
        0, "number of bootstrap draws of speakers for 95% intervals, such as 1000; 0: no intervals", minimum=0
    )
    bootstrap_seed: int = option(0, "random seed of the bootstrap draws", minimum=0)
    print_like: str = option(
        "none", "toolkit in whose format the result is printed as well (docs/scoring.md)", choices=("none", *PEERS)
    )
    npy_file_path: str = option("./npys/", "folder for embeddings, scores and results", path=True)
    eval_engine: str = option(
        "auto",
        "library that runs the model; auto: onnxruntime on a CPU, where it is fastest, mindspore on another device",
        choices=("auto", "mindspore", "onnxruntime", "openvino"),
    )
    eval_batch_size: int = option(16, "batch size: utterances of equal length that are embedded together", minimum=1)
    max_frames: int = option(
        15000,
        "greatest number of frames in one pass of the model; longer utterances are embedded in windows and averaged; "
        "0: no limit",
        minimum=0,
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if self.cut_wav and self.eval_crops:
            found.append("eval_crops: expected 0 with cut_wav, which keeps one piece of each utterance.")
        return found


@dataclass
class ExportOptions:
    """Export"""

    exp_ckpt_file: str = option("", "checkpoint to export; empty: the one of model_path", path=True)
    file_name: str = option("ecapatdnn", "exported file; the format's suffix is appended if missing", path=True)
    file_format: str = option(
        "MINDIR",
        "format of the exported file; IR is OpenVINO's, AIR is for Ascend only",
        choices=("MINDIR", "ONNX", "IR", "AIR"),
    )
    mindir_version: int = option(
        3, "version of the MINDIR format; 1: the form of MindSpore Lite, for Lite 2.0 and later", choices=(1, 3)
    )
    input_kind: str = option(
        "features",
        "input of the exported model; waveform: the front end is part of the model",
        name="input",
        choices=("features", "waveform"),
        parse=parsers.input_kind,
    )
    input_layout: str = option(
        "BTF",
        "axes of the exported model's input features: batch, frames, feature size; BFT: transposed, as in the Ascend "
        "310P guide",
        choices=("BTF", "BFT"),
    )
    outputs: tuple[str, ...] = option(
        ("embedding",),
        "outputs of the exported model: embedding, then other outputs, such as embedding,attention",
        parse=parsers.output_names,
    )
    batch_size: int = option(1, "batch size of the exported model; 0: any", minimum=0)
    length: int = option(301, "number of frames that the exported model takes; 0: any", minimum=0)
    channel: int = option(80, "feature size of the exported model; must match the checkpoint", minimum=1)
    precision: str = option(
        "float32",
        "number format of the exported model; int8: for IR, faster on processors with 8-bit products",
        choices=("float32", "int8"),
    )
    calibration_data: str = option(
        "", "evaluation store of training speakers, such as feat_norm_folder; sets the ranges of int8", path=True
    )
    calibration_utterances: int = option(
        128, "number of utterances of calibration_data that set the ranges of int8", minimum=1
    )

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        found = []
        if self.file_format == "AIR" and (self.input_kind == "waveform" or not (self.batch_size and self.length)):
            found.append("file_format: AIR needs input features, and a batch_size and a length above 0.")
        if self.input_layout != "BTF" and self.input_kind == "waveform":
            found.append(f"input_layout: {self.input_layout} needs input features; a waveform has no frames.")
        if self.precision == "int8" and (self.file_format != "IR" or self.input_kind != "features"):
            found.append(f"precision: int8 needs file_format IR with input features, got {self.file_format}.")
        if (self.precision == "int8") != bool(self.calibration_data):
            found.append("calibration_data: required by precision int8, and not used otherwise.")
        if self.mindir_version == 1 and self.file_format != "MINDIR":
            found.append(f"mindir_version: 1 needs file_format MINDIR, got {self.file_format}.")
        if self.mindir_version == 1 and self.input_kind == "waveform" and not (self.batch_size and self.length):
            found.append("mindir_version: 1 with input waveform needs a batch_size and a length above 0.")
        return found


@dataclass
class DeviceOptions:
    """Device"""

    device_target: str = option(
        "auto",
        "device to run on; auto: the one that the installed MindSpore supports here",
        choices=("auto", "CPU", "GPU", "Ascend"),
    )
    device_id: int = option(0, "index of the device", minimum=0)
    run_distribute: bool = option(False, "train on several devices; scripts/run_distribute_train.sh sets it")


@dataclass
class CorpusOptions:
    """Corpus, trial list and features, shared by both preparations (docs/data.md)"""

    layout: str = option("auto", LAYOUT_HELP, choices=LAYOUTS)
    speaker_pattern: str = option("", SPEAKER_PATTERN_HELP)
    data_list: str = option("", DATA_LIST_HELP, path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    min_duration: float = option(0.1, "shortest usable recording, s", minimum=MIN_DURATION_S)
    max_clipped_fraction: float = option(
        0.2, "greatest usable share of samples at full scale in a recording", minimum=0
    )
    use_db_normalization: bool = option(
        False, "scale each recording to the level target_dB", name="use_dB_normalization"
    )
    target_db: float = option(
        -20.0, "root mean square level for use_dB_normalization, dB below full scale", name="target_dB", below=0
    )
    do_vad: bool = option(
        False, "keep only the speech of each recording, found by Silero's detector (mindvox fetch silero_vad)"
    )
    store_kind: str = option(
        "features",
        "content of the store: features; or waveform: samples, from which any model's features are computed later",
        parse=parsers.store_kind,
    )
    front_end: Choice = section(FRONT_ENDS, "fbank", "kind of features; docs/data.md", _same("n_mels"))
    num_processes: int = option(0, NUM_PROCESSES_HELP, minimum=0)


@dataclass
class TrainPrepConfig(AugmentationOptions, CorpusOptions):
    """hparams/prepare_train.yaml: from recordings to the training store."""

    output_folder: str = option("./augmented/", "folder for intermediate results", path=True)
    save_folder: str = option(Reference("<output_folder>/save/"), "folder for the utterance tables", path=True)
    feat_folder: str = option("", "folder for the training store", path=True)
    feat_folder_merge: str = option(
        Reference("<feat_folder>/merged"), "folder for the store of merge_data.py", path=True
    )
    data_folder: str = option("", "training corpus: the folder with wav/<speaker>/<session>/<file>", path=True)
    train_annotation: str = option(
        Reference("<save_folder>/train.csv"), "table of training utterances; made if missing", path=True
    )
    valid_annotation: str = option(
        Reference("<save_folder>/dev.csv"), "table of held-out utterances; made if missing", path=True
    )
    verification_file: str = option("", "trial list whose speakers are left out of training; empty: none", path=True)
    skip_prep: bool = option(False, "use the existing tables; fail if they are missing")
    split_ratio: float = option(
        100.0, "shares of a speaker's utterances for train and dev, percent", parse=parsers.train_percent
    )
    min_utts_for_dev: int = option(5, "fewest utterances of a speaker whose utterances are split", minimum=2)
    sentence_len: float = option(3.0, "length of a stored chunk, s", above=0)
    random_chunk: bool = option(True, "store one random chunk of each utterance; false: all consecutive chunks")
    number_of_epochs: int = option(1, "number of copies of the chunks, each at new random positions", minimum=1)
    whole_utterance: bool = option(False, "store whole utterances; train.py then draws new crops every epoch")
    shard_utterances: int = option(10000, "greatest number of records in one file of the store", minimum=1)
    max_bad_fraction: float = option(0.05, "share of unusable recordings above which preparation stops", minimum=0)
    seed: int = option(1234, "random seed of the split, of the chunks' positions and of augmentation", minimum=0)
    part: str = option("1/1", "part of the store to make, i/n: the i-th of n, each on one machine", parse=parsers.part)
    dask: str = option("", "Dask scheduler, such as tcp://host:8786; local: start one; empty: no Dask")
    verify: bool = option(False, "check every byte and every record of the finished store, and make nothing")

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        if self.whole_utterance and self.number_of_epochs > 1:
            return ["number_of_epochs: expected 1 with whole_utterance, which stores each utterance once."]
        if self.dask and self.part != "1/1":
            return ["part: expected no part with dask, which distributes the work itself: set only one of them."]
        return []


@dataclass
class EvalPrepConfig(CorpusOptions):
    """hparams/prepare_eval.yaml: from recordings to the evaluation store and the cohort."""

    output_folder: str = option("./augmented_eval/", "folder for intermediate results", path=True)
    save_folder: str = option(Reference("<output_folder>/save/"), "folder for the utterance tables", path=True)
    feat_eval_folder: str = option("", "folder for the evaluation store (the trial list's utterances)", path=True)
    feat_norm_folder: str = option("", "folder for the cohort store (for mean subtraction and s-norm)", path=True)
    data_folder: str = option("", "evaluation corpus: the folder with wav/<speaker>/<session>/<file>", path=True)
    verification_file: str = option("veri_test2.txt", "trial list; tried as given, then inside data_folder", path=True)
    train_annotation: str = option(
        "./augmented/save/train.csv",
        "table from which the cohort is drawn; if missing, the cohort is data_folder's speakers that are in no trial",
        path=True,
    )
    train_data_folder: str = option(
        "", "training corpus that train_annotation describes; data_prepare.sh sets it if empty", path=True
    )
    skip_prep: bool = option(False, "use the existing tables; fail if they are missing")
    n_train_snts: int = option(400000, "greatest number of utterances in the cohort", minimum=1)
    sentence_len: float = option(3.0, "length of the chunk of each cohort utterance, s", above=0)
    random_chunk: bool = option(True, "take the chunk at a random position; false: at the start")
    whole_utterance: bool = option(False, "store cohort utterances whole")
    feature_backend: str = option("builtin", FEATURE_BACKEND_HELP, aliases=("frontend",), choices=FEATURE_BACKENDS)
    max_bad_fraction: float = option(
        0.05, "share of unusable recordings of the cohort above which preparation stops", minimum=0
    )
    seed: int = option(1234, "random seed of the cohort's choice and of the chunks' positions", minimum=0)
    verify: bool = option(False, "check every byte of the finished stores, and make nothing")

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys."""
        return []


@dataclass
class Config(
    # Python collects the fields of base classes from last to first.
    DeviceOptions,
    ExportOptions,
    EvaluationOptions,
    MaskOptions,
    AugmentationOptions,
    ValidationOptions,
    TrainingFilesOptions,
    OptimisationOptions,
    ModelOptions,
):
    """ecapa-tdnn_config.yaml: training, evaluation, export and inference."""

    on_command_line = frozenset[str]()  # no annotation, so not a field
    """Keys that the command line gave, section keys as `section.key`; `load_config` sets it."""

    def problems(self) -> list[str]:
        """Return one line for each conflict between keys of several sections."""
        if self.speed_classes and 1.0 not in self.speeds:
            return ["speeds: expected 1.0 among them, the speed that keeps its label, because speed_classes is set."]
        return []


TRAINING = (
    ModelOptions,
    OptimisationOptions,
    TrainingFilesOptions,
    ValidationOptions,
    AugmentationOptions,
    MaskOptions,
    DeviceOptions,
)
"""Groups of keys that train.py --help lists; below it are those of the other commands."""
SECTIONS = ("model", "loss", "front_end", "sampler", "schedule")
"""Sections of a training configuration, each of which chooses a class."""
EVALUATION = (EvaluationOptions, DeviceOptions)
EXPORT = (ExportOptions, DeviceOptions)

CONFIGS = {cls.__name__: cls for cls in (TrainPrepConfig, EvalPrepConfig, Config)}
