"""The keys of each command. A group of keys that several commands have is one class."""

from dataclasses import dataclass
from typing import Union

from mindvox.config import parsers
from mindvox.config.choice import Choice, section
from mindvox.config.option import Reference, option
from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, SAMPLERS, SCHEDULES

NUM_PROCESSES_HELP = "processes of this machine; 0: one for each core"
PEERS = ("mvector", "rawnet2", "speechbrain", "voxceleb_trainer", "wespeaker")
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
    "list of the recordings (csv, tsv, two columns, Kaldi folder, lhotse); looked for as given, then in data_folder"
)
MIN_DURATION_S = 0.08  # 9 frames, the least that a model takes
ENROL_MAP_HELP = "models of several utterances: a line '<model> <utterance> ...' each; empty: none"


FEATURE_BACKENDS = ("builtin", "speechbrain")
FEATURE_BACKEND_HELP = "whose code computes features and distortions; speechbrain: its own (extra speechbrain)"


def _same(*keys: str) -> dict[str, str]:
    """Return flat keys that are called as in their section."""
    return {key: key for key in keys}


@dataclass
class AugmentationOptions:
    """Augmentation, the same in preparation and in training (docs/augmentation.md)"""

    augmentations: tuple[str, ...] = option(
        ("clean",),
        "stages, of which each training crop draws one, by weight as in clean:0.4; preparation makes a copy for each: "
        "clean, augment_wavedrop, augment_speed, add_rev, add_noise, add_rev_noise, or steps joined by '+'",
        parse=parsers.stage_names,
        fixed=True,
    )
    noise_folder: str = option("", "recordings of noise: MUSAN, or any folder of audio", path=True)
    rir_folder: str = option("", "room responses: RIRS_NOISES, or any folder of audio", path=True)
    noise_snr: tuple[float, float] = option((0.0, 15.0), "speech over noise, dB", parse=parsers.span(), fixed=True)
    music_snr: tuple[float, float] = option(
        (5.0, 15.0), "speech over MUSAN's music, dB", parse=parsers.span(), fixed=True
    )
    speech_snr: tuple[float, float] = option(
        (13.0, 20.0), "speech over MUSAN's speech, dB", parse=parsers.span(), fixed=True
    )
    babble_snr: tuple[float, float] = option((13.0, 20.0), "speech over babble, dB", parse=parsers.span(), fixed=True)
    babble_voices: tuple[int, int] = option(
        (3, 7), "other utterances in babble", parse=parsers.span(1, 100, whole=True), fixed=True
    )
    speeds: tuple[float, ...] = option(
        (0.95, 1.0, 1.05), "factors of speed, each as often", parse=parsers.speeds, fixed=True
    )
    drop_freq_count: tuple[int, int] = option(
        (1, 3), "bands that drop_freq removes", parse=parsers.span(0, 100, whole=True), fixed=True
    )
    drop_freq_width: float = option(
        0.05, "width of such a band, share of half the sampling rate", above=0, below=1, fixed=True
    )
    drop_chunk_count: tuple[int, int] = option(
        (1, 5), "stretches silenced by drop_chunk", parse=parsers.span(0, 100, True), fixed=True
    )
    drop_chunk_length: tuple[int, int] = option(
        (1000, 2000), "their length, samples", parse=parsers.span(1, 160000, True), fixed=True
    )
    volume_peak: tuple[float, float] = option(
        (0.5, 1.5), "largest sample after volume", parse=parsers.span(0.01, 10), fixed=True
    )
    clip_share: tuple[float, float] = option(
        (0.3, 0.9), "share of the peak that clip leaves", parse=parsers.span(0.01, 1), fixed=True
    )
    feature_backend: str = option(
        "builtin", FEATURE_BACKEND_HELP, aliases=("frontend",), choices=FEATURE_BACKENDS, fixed=True
    )

    @property
    def speed_percents(self) -> tuple[int, ...]:
        """Return the speeds in percent."""
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
        "features of a store of waveforms, by default of the size inChannels; other stores and checkpoints know theirs",
        {},
    )
    sampler: Choice = section(SAMPLERS, "shuffle", "order of the training records", {})
    class_num: int = option(
        0,
        "training speakers; auto: the store's number (7205 in VoxCeleb1 and 2), which a number must match",
        name="CLASS_NUM",
        parse=parsers.class_num,
    )


@dataclass
class OptimisationOptions:
    """Optimisation"""

    batch_norm: str = option(
        "local",
        "what batch norms normalise by in training: the batch of each device, or what evaluation uses, unchanged",
        choices=("local", "frozen"),
        fixed=True,
    )
    frozen_parts: tuple[str, ...] = option(
        (),
        "parts of the model that training leaves as they are: beginnings of its parameters' names, as in head,blocks.0",
        parse=parsers.part_names,
        fixed=True,
    )
    optimizer: str = option("adam", "how gradients change weights", choices=("adam", "sgd"), fixed=True)
    amsgrad: bool = option(
        False, "Adam divides by the greatest second moment so far, not by the present one", fixed=True
    )
    schedule: Choice = section(
        SCHEDULES,
        "cyclic",
        "how the learning rate changes; docs/recipes.md",
        _same("base_lrate", "max_lrate", "step_size", "cycle_peak", "warmup_epochs"),
        of_all=True,
    )
    scale_lrate: str = option(
        "none",
        "factor on the learning rate when devices times accumulate_steps is n: 1, n or its root; cycles shrink by n",
        choices=("none", "linear", "sqrt"),
        fixed=True,
    )
    momentum: float = option(0.95, "Adam's beta1 (beta2 is 0.999), or SGD's momentum", minimum=0, below=1, fixed=True)
    nesterov: bool = option(True, "SGD looks ahead along its momentum", fixed=True)
    weight_decay: float = option(2e-6, "L2 penalty on weights and biases", name="weightDecay", minimum=0, fixed=True)
    clip_grad_norm: float = option(5.0, "greatest global norm of the gradients; 0: no clipping", minimum=0, fixed=True)
    accumulate_steps: int = option(
        1, "batches whose mean gradient makes one change of the weights", minimum=1, fixed=True
    )
    ema_decay: float = option(
        0.0,
        "decay of a moving average of the weights, which evaluation then uses; 0: none",
        minimum=0,
        below=1,
        fixed=True,
    )
    amp_level: str = option(
        "O0",
        "precision: O0 float32; O2 float16 but for batch norms; O3 float16",
        choices=("O0", "O2", "O3"),
        fixed=True,
    )
    loss_scale: Union[str, float] = option(
        "auto",
        "factor on the loss in the backward pass: a number, 1 for none; dynamic; auto: dynamic unless amp_level is O0",
        parse=parsers.loss_scale,
        fixed=True,
    )
    loss_scale_start: float = option(65536.0, "first value of a dynamic loss_scale", minimum=1, fixed=True)
    loss_scale_window: int = option(
        2000, "steps without overflow after which a dynamic loss_scale doubles", minimum=1, fixed=True
    )
    num_epochs: int = option(3, "passes over the training data", minimum=1)
    minibatch_size: int = option(192, "utterances in a step", minimum=2, fixed=True)
    train_frames: int = option(301, "frames of a training crop (301: 3 s)", minimum=9, fixed=True)
    max_train_minutes: float = option(
        0.0,
        "train so long with one cycle of the learning rate, whatever num_epochs and step_size say; 0: off",
        minimum=0,
    )
    seed: int = option(0, "seed of initial weights, order and crops", minimum=0, fixed=True)

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        warmup_epochs = 0 if self.schedule.problems() else getattr(self.schedule.options, "warmup_epochs", 0)
        if warmup_epochs >= self.num_epochs:
            found.append(f"warmup_epochs: expected less than num_epochs {self.num_epochs}, got {warmup_epochs:g}.")
        if self.amsgrad and self.optimizer != "adam":
            found.append(f"amsgrad: is for optimizer adam, got {self.optimizer}.")
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            found.append("nesterov: needs a momentum above 0.")
        return found


@dataclass
class TrainingFilesOptions:
    """Training data, checkpoints and log"""

    train_data_path: str = option(
        "", "training store: the folder that train_data_prepare.py or merge_data.py wrote", path=True
    )
    pre_trained: bool = option(False, "start from the weights in checkpoint_path")
    checkpoint_path: str = option(
        "", "what to start from when pre_trained: a checkpoint, a folder of them, or a public model's name", path=True
    )
    ckpt_save_dir: str = option(
        "./ckpt/", "folder of the checkpoints; must hold none of an earlier run, unless that is resumed", path=True
    )
    resume: str = option(
        "no",
        "go on with an earlier run: no, auto (ckpt_save_dir's newest whole checkpoint), or a checkpoint",
        parse=parsers.resume,
        path=True,
    )
    keep_checkpoint_max: int = option(30, "newest checkpoints to keep, besides the best", minimum=1)
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

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        if self.pre_trained and not self.checkpoint_path:
            found.append("checkpoint_path: pre_trained needs the checkpoint to start from.")
        return found


@dataclass
class ValidationOptions:
    """Validation while training"""

    valid_trials: str = option(
        "", "trial list in VoxCeleb's form; looked for as given, then in valid_data_path", path=True
    )
    valid_data_path: str = option(
        "", "evaluation store with the utterances of valid_trials; not the one of the final evaluation", path=True
    )
    valid_utterances: int = option(
        0,
        "instead of valid_trials: training utterances held out, whose halves are compared; 0: none",
        minimum=0,
        fixed=True,
    )
    valid_steps: int = option(0, "validate every so many steps; 0: off", minimum=0)
    valid_epochs: int = option(1, "validate at the end of every so many epochs; 0: off", minimum=0)

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
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


@dataclass
class MaskOptions:
    """Augmentation while training"""

    speed_classes: bool = option(
        False, "each speed but 1.0 makes new speakers: label + speakers * number of the speed", fixed=True
    )
    spec_augment: float = option(
        0.0, "share of crops with masked frames and bins; for stores of features too", minimum=0, fixed=True
    )
    spec_augment_frames: int = option(10, "most frames of a mask", minimum=0, fixed=True)
    spec_augment_bins: int = option(8, "most bins of a mask", minimum=0, fixed=True)

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        if self.spec_augment > 1:
            found.append(f"spec_augment: expected a share between 0 and 1, got {self.spec_augment:g}.")
        return found


@dataclass
class EvaluationOptions:
    """Trials, embeddings and scores"""

    eval_data_path: str = option("", "evaluation store: feat_eval_folder of prepare_eval.yaml", path=True)
    veri_file_path: str = option("veri_test2.txt", "trial list; looked for as given, then in eval_data_path", path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    exclude_list: str = option("", "utterances, one a line, whose trials are left out; empty: none are", path=True)
    repeated_trials: str = option("error", "what a pair that is in the list twice is", choices=("error", "keep"))
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
    crop_of: str = option(
        "auto",
        "what crops are cut from: waveform (eval_frames x 160 + 240 samples), features; auto: waveform where the "
        "stores hold it",
        choices=("auto", "waveform", "features"),
    )
    crop_score: str = option(
        "distance",
        "mean over all pairs of crops: negated Euclidean distance of unit vectors, or cosine",
        choices=("distance", "cosine"),
    )
    sub_mean: str = option(
        "cohort",
        "whose mean embedding is subtracted; test: that of the trial list's utterances",
        choices=("cohort", "test"),
    )
    score_norm: str = option(
        "s-norm", "score normalisation against the cohort", choices=("s-norm", "z-norm", "t-norm", "none")
    )
    train_norm_path: str = option(
        "", "cohort store: feat_norm_folder of prepare_eval.yaml; empty: no cohort", path=True
    )
    cohort_size: int = option(
        20000, "best cohort scores used for each side of a trial; all where there are fewer", minimum=2
    )
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
    print_like: str = option(
        "none", "print the result as this toolkit does, too (docs/scoring.md)", choices=("none", *PEERS)
    )
    npy_file_path: str = option("./npys/", "folder of embeddings, scores and results", path=True)
    eval_engine: str = option(
        "auto",
        "library that embeds; auto: onnxruntime on a CPU, where it is the fastest, mindspore on another device",
        choices=("auto", "mindspore", "onnxruntime", "openvino"),
    )
    eval_batch_size: int = option(16, "utterances of equal length that go through the model at once", minimum=1)
    max_frames: int = option(
        15000,
        "most frames that go through the model at once; longer utterances are embedded in windows and averaged; "
        "0: no limit",
        minimum=0,
    )

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        if self.cut_wav and self.eval_crops:
            found.append("eval_crops: expected 0 with cut_wav, which keeps one piece of each utterance.")
        return found


@dataclass
class ExportOptions:
    """Export"""

    exp_ckpt_file: str = option("", "checkpoint to export; empty: model_path", path=True)
    file_name: str = option("ecapatdnn", "exported file; the format's suffix is added where it is missing", path=True)
    file_format: str = option(
        "MINDIR",
        "format of the exported file; IR is OpenVINO's, AIR is for Ascend alone",
        choices=("MINDIR", "ONNX", "IR", "AIR"),
    )
    mindir_version: int = option(
        3, "version of the MINDIR format; 1: for MindSpore Lite 2.0 and later, in Lite's own form", choices=(1, 3)
    )
    input_kind: str = option(
        "features",
        "what the exported model takes; waveform: the front end is inside",
        name="input",
        choices=("features", "waveform"),
        parse=parsers.input_kind,
    )
    input_layout: str = option(
        "BTF",
        "axes of the features that the exported model takes: batch, frames, size of a frame; BFT: transposed, as in "
        "the Ascend 310P guide",
        choices=("BTF", "BFT"),
    )
    outputs: tuple[str, ...] = option(
        ("embedding",),
        "what the exported model gives: embedding, then further outputs of the model, such as embedding,attention",
        parse=parsers.output_names,
    )
    batch_size: int = option(1, "utterances that the exported model takes at once; 0: any number", minimum=0)
    length: int = option(301, "frames that the exported model takes; 0: any number", minimum=0)
    channel: int = option(80, "feature size of the exported model, which must be the checkpoint's", minimum=1)
    precision: str = option(
        "float32",
        "numbers of the exported model; int8: faster where the processor multiplies bytes, for file_format IR",
        choices=("float32", "int8"),
    )
    calibration_data: str = option(
        "", "for int8: evaluation store of training speakers, such as feat_norm_folder; gives the ranges", path=True
    )
    calibration_utterances: int = option(128, "utterances of calibration_data that give the ranges", minimum=1)

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        found = []
        if self.file_format == "AIR" and (self.input_kind == "waveform" or not (self.batch_size and self.length)):
            found.append("file_format: AIR takes input features, and a batch_size and a length above 0.")
        if self.input_layout != "BTF" and self.input_kind == "waveform":
            found.append(f"input_layout: {self.input_layout} is for input features; a waveform has no frames.")
        if self.precision == "int8" and (self.file_format != "IR" or self.input_kind != "features"):
            found.append(f"precision: int8 is for file_format IR with input features, got {self.file_format}.")
        if (self.precision == "int8") != bool(self.calibration_data):
            found.append("calibration_data: needed with precision int8, and used by nothing else.")
        if self.mindir_version == 1 and self.file_format != "MINDIR":
            found.append(f"mindir_version: 1 is for file_format MINDIR, got {self.file_format}.")
        if self.mindir_version == 1 and self.input_kind == "waveform" and not (self.batch_size and self.length):
            found.append("mindir_version: with input waveform, 1 takes a batch_size and a length above 0.")
        return found


@dataclass
class DeviceOptions:
    """Device"""

    device_target: str = option(
        "auto",
        "where to run; auto: what the installed MindSpore can use here",
        choices=("auto", "CPU", "GPU", "Ascend"),
    )
    device_id: int = option(0, "number of the device", minimum=0)
    run_distribute: bool = option(False, "train on several devices; scripts/run_distribute_train.sh sets it")


@dataclass
class CorpusOptions:
    """Corpus, trial list and features, the same in both preparations (docs/data.md)"""

    layout: str = option("auto", LAYOUT_HELP, choices=LAYOUTS)
    speaker_pattern: str = option("", SPEAKER_PATTERN_HELP)
    data_list: str = option("", DATA_LIST_HELP, path=True)
    trial_format: str = option("voxceleb", TRIAL_FORMAT_HELP, choices=TRIAL_FORMATS)
    enrol_map_path: str = option("", ENROL_MAP_HELP, path=True)
    min_duration: float = option(0.1, "shortest usable recording, s", minimum=MIN_DURATION_S)
    max_clipped_fraction: float = option(0.2, "largest share of a recording's samples at full scale", minimum=0)
    use_db_normalization: bool = option(
        False, "bring each recording to the level target_dB", name="use_dB_normalization"
    )
    target_db: float = option(-20.0, "that level, root mean square, dB below full scale", name="target_dB", below=0)
    do_vad: bool = option(
        False, "cut out of each recording what Silero's detector (mindvox fetch silero_vad) does not take for speech"
    )
    store_kind: str = option(
        "features",
        "what is stored: features, or waveform: samples, of which each model's own features are computed",
        parse=parsers.store_kind,
    )
    front_end: Choice = section(FRONT_ENDS, "fbank", "features; see docs/data.md", _same("n_mels"))
    num_processes: int = option(0, NUM_PROCESSES_HELP, minimum=0)


@dataclass
class TrainPrepConfig(AugmentationOptions, CorpusOptions):
    """hparams/prepare_train.yaml: from recordings to the training store."""

    output_folder: str = option("./augmented/", "folder of intermediate results", path=True)
    save_folder: str = option(Reference("<output_folder>/save/"), "folder of the utterance tables", path=True)
    feat_folder: str = option("", "folder of the training store (features)", path=True)
    feat_folder_merge: str = option(Reference("<feat_folder>/merged"), "folder that merge_data.py writes", path=True)
    data_folder: str = option("", "training corpus: the folder that holds wav/<speaker>/<session>/<file>", path=True)
    train_annotation: str = option(
        Reference("<save_folder>/train.csv"), "training utterances, made when absent", path=True
    )
    valid_annotation: str = option(
        Reference("<save_folder>/dev.csv"), "held-out utterances, made when absent", path=True
    )
    verification_file: str = option(
        "", "trial list whose speakers are left out of training; empty: none are", path=True
    )
    skip_prep: bool = option(False, "use the tables as they are; it is an error when they are absent")
    split_ratio: float = option(
        100.0, "percents for train and dev of a speaker's utterances", parse=parsers.train_percent
    )
    min_utts_for_dev: int = option(5, "a speaker with fewer utterances stays wholly in train", minimum=2)
    sentence_len: float = option(3.0, "length of a stored chunk, s", above=0)
    random_chunk: bool = option(True, "a random chunk of each utterance; false: all its consecutive chunks")
    number_of_epochs: int = option(1, "copies of the chunks, each with new random positions", minimum=1)
    whole_utterance: bool = option(False, "store whole utterances, of which train.py draws new crops every epoch")
    shard_utterances: int = option(10000, "most records in one file of the store", minimum=1)
    max_bad_fraction: float = option(0.05, "unusable share of the recordings at which preparation stops", minimum=0)
    seed: int = option(1234, "seed of the split, of the chunks' positions and of augmentation", minimum=0)
    part: str = option(
        "1/1", "i/n: make only the i-th of n parts of the store, on one of n machines", parse=parsers.part
    )
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
class EvalPrepConfig(CorpusOptions):
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
    verification_file: str = option("veri_test2.txt", "trial list; looked for as given, then in data_folder", path=True)
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
    feature_backend: str = option("builtin", FEATURE_BACKEND_HELP, aliases=("frontend",), choices=FEATURE_BACKENDS)
    max_bad_fraction: float = option(0.05, "unusable share of the cohort at which preparation stops", minimum=0)
    seed: int = option(1234, "seed of the cohort's choice and of the chunks' positions", minimum=0)
    verify: bool = option(False, "check every byte of the finished stores, and make nothing")

    def problems(self) -> list[str]:
        """Return what is wrong between keys, one line each."""
        return []


@dataclass
class Config(
    # Python collects the fields of base classes from the last to the first.
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

    on_command_line = frozenset[str]()  # without a type, and so no field
    """Keys that `load_config` found there, those of sections as `section.key`."""

    def problems(self) -> list[str]:
        """Return what is wrong between keys of several sections, one line each."""
        if self.speed_classes and 1.0 not in self.speeds:
            return ["speeds: speed_classes needs 1.0 among them, the speed that keeps its label."]
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
"""What train.py --help lists; beside it the keys of the other commands."""
SECTIONS = ("model", "loss", "front_end", "sampler", "schedule")
"""The sections of a training, which name classes."""
EVALUATION = (EvaluationOptions, DeviceOptions)
EXPORT = (ExportOptions, DeviceOptions)

CONFIGS = {cls.__name__: cls for cls in (TrainPrepConfig, EvalPrepConfig, Config)}
