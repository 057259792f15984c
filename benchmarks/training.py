"""What some minutes of training give: beside mvector, objective by objective, and from public weights.

`python benchmarks/training.py CORPUS OUT --parts ecapa [--peer_python PYTHON]`: ECAPA-TDNN, C = 512, AAM-softmax,
beside mvector's own training code (training_mvector.py, run by PYTHON), seed by seed.
`... --parts objectives`: ResNetSE34L with every objective, and untrained.
`... --parts finetune [--variants recipe matched fast ...]`: hparams/recipes/finetune_campplus.yaml and its variants,
with every second noise of CORPUS/noise; tested at 0 dB with the others.

CORPUS is Mini LibriSpeech. Every run trains for `--minutes` on an otherwise idle machine, and its last step is tested
on the trials of CORPUS/voxceleb1 by plain cosines. What is finished stays in OUT: the same command goes on from there.
"""

import argparse
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy import ROOT, command, once
from benchmarks.conditions import at_snr
from mindvox.config import Config, load_config
from mindvox.corpus.audio import read_audio
from mindvox.corpus.trials import read_trials
from mindvox.deploy.export import export
from mindvox.embedder import Embedder
from mindvox.registry import LOSSES
from mindvox.scoring.bootstrap import speaker_intervals
from mindvox.scoring.metrics import eer
from mindvox.scoring.normalisation import unit_length

CUT = 24000  # samples: 1.5 s
NOISE_SEED, NUM_DRAWS = 12, 1000
RESNET = (  # hparams/recipes/voxceleb_trainer_resnetse34l_am.yaml
    *("--model=resnetse34l", "--model.in_channels=40", "--model.emb_size=512", "--model.pooling=frame_sap"),
    *("--front_end=mel_spectrogram", "--front_end.n_mels=40", "--front_end.n_fft=512", "--front_end.window=hamming"),
    *("--front_end.win_length_ms=25", "--front_end.hop_length_ms=10", "--front_end.offset=1e-6"),
    *("--front_end.log=natural", "--front_end.waveform_scale=32768", "--front_end.normalisation=instance"),
)
ADAM = ("--optimizer=adam", "--momentum=0.9", "--clip_grad_norm=5")
CYCLE = ("--schedule=cyclic", "--base_lrate=1e-6", "--max_lrate=1e-3", "--cycle_peak=0.3", *ADAM)
OFTEN = ("--minibatch_size=32", "--train_frames=201", "--save_checkpoint_epochs=0", "--log_steps=20")
UNTRAINED = ("--schedule=cyclic", "--num_epochs=1", "--max_lrate=2e-12", "--base_lrate=1e-12", *ADAM)
RANDOM, FAST = "--imprint_utterances=0", "--schedule.max_lrate=0.0001"
FIRST = (RANDOM, FAST)
VARIANTS = {  # of hparams/recipes/finetune_campplus.yaml; "first": as it was before imprint_utterances
    "recipe": (),
    "matched": ("--train_frames=148", "--augmentations=[noise:1]", "--noise_snr=[0,5]"),  # trained as it is tested
    "fast": (FAST,),
    "random": (RANDOM,),
    "first": FIRST,
    "first_frozen": (*FIRST, "--frozen_parts=[head, tdnn, tdnn_norm, blocks.0, blocks.1]"),
    "first_long": (*FIRST, "--train_frames=598", "--minibatch_size=16"),
    "first_margin": (*FIRST, "--loss.margin=0"),
}
Embed = Callable[[np.ndarray], np.ndarray]
Change = Callable[[str, np.ndarray], np.ndarray]


class Trials:
    """The trial list of a corpus, and its recordings.

    Args:
        folder: with veri_test2.txt and wav.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        trials = read_trials(folder / "veri_test2.txt")
        self.is_target = np.array([trial.is_target for trial in trials])
        self.names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
        rows = {name: row for row, name in enumerate(self.names)}
        self.enrol = np.array([rows[trial.enrol] for trial in trials])
        self.test = np.array([rows[trial.test] for trial in trials])
        self.speakers = np.unique([name.split("/")[0] for name in self.names], return_inverse=True)[1]

    @cached_property
    def waveforms(self) -> dict[str, np.ndarray]:
        """Samples by name."""
        return {name: read_audio(self.folder / "wav" / name).waveform for name in self.names}

    def embedded(self, embed: Embed, change: Change) -> np.ndarray:
        """Return embeddings of all changed recordings, in the order of `names`."""
        return np.stack([embed(change(name, waveform)) for name, waveform in self.waveforms.items()])

    def rates(self, embeddings: np.ndarray) -> list[float]:
        """Return the EER of embeddings, and the ends of its interval over speakers, as fractions."""
        rows = unit_length(embeddings, self.names)
        scores = (rows[self.enrol] * rows[self.test]).sum(axis=1)
        sides = (self.speakers[self.enrol], self.speakers[self.test])
        interval = speaker_intervals(scores, self.is_target, *sides, [0.01], NUM_DRAWS, 0)
        return [float(eer(scores, self.is_target).eer), *interval.eer]


class Benchmark:
    """One corpus, and the folder of what was measured.

    Args:
        given: the command line.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.corpus, self.out = given, given.corpus.resolve(), given.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.trials = Trials(self.corpus / "voxceleb1")

    def result(self, name: str, minutes: float, measure: Callable[[], dict]) -> dict:
        """Return what one run gave, now or in an earlier call."""
        return once(self.out / f"{name}_{minutes:g}.json", measure)

    def store(self, kind: str) -> Path:
        """Return the training store of whole recordings, as features or waveforms."""
        folder, tables = self.out / kind, f"--output_folder={self.out / 'tables'}"
        if not (folder / "manifest.json").exists():
            words = (f"--data_folder={self.corpus / 'voxceleb12'}", f"--feat_folder={folder}", tables)
            yaml = ROOT / "hparams" / "prepare_train.yaml"
            kinds = (f"--store_kind={kind}", "--whole_utterance")
            command(sys.executable, ROOT / "train_data_prepare.py", yaml, *words, *kinds)
        return folder

    def train(self, name: str, words: tuple[str, ...], changes: Mapping[str, Change]) -> dict:
        """Train with train.py's words, and test the last checkpoint."""
        folder = self.out / f"ckpt_{name}"
        shutil.rmtree(folder, ignore_errors=True)
        said = command(sys.executable, ROOT / "train.py", *words, f"--ckpt_save_dir={folder}", "--tensorboard=false")
        return {"steps": int(re.search(r"trained (\d+) steps", said)[1]), **self.tested(name, folder, changes)}

    def tested(self, name: str, checkpoint: Path, changes: Mapping[str, Change]) -> dict:
        """Return the error rates of a checkpoint."""
        words = (f"--exp_ckpt_file={checkpoint}", f"--file_name={self.out / name}", "--file_format=ONNX")
        free = ("--length=0", "--batch_size=0", "--device_target=CPU")
        exported = export(load_config(Config, ["--config_path=/dev/null", *words, *free]))
        return self.measured(Embedder.open(exported).embed, changes)

    def measured(self, embed: Embed, changes: Mapping[str, Change]) -> dict:
        """Return the error rates of embeddings, each with its interval, for each change of the recordings."""
        return {what: self.trials.rates(self.trials.embedded(embed, change)) for what, change in changes.items()}


def whole(_: str, waveform: np.ndarray) -> np.ndarray:
    """Return a recording as it is."""
    return waveform


def cut(_: str, waveform: np.ndarray) -> np.ndarray:
    """Return the first 1.5 s."""
    return waveform[:CUT]


LENGTHS = {"full": whole, "cut": cut}


def ecapa(benchmark: Benchmark) -> None:
    """Compare with mvector's training code, in turn."""
    given, rows = benchmark.given, []
    ours = (f"--config_path={ROOT / 'hparams/train_mini_librispeech.yaml'}", "--channels=512", "--log_steps=20")
    ours += (f"--train_data_path={benchmark.store('features')}",)
    for seed in given.seeds:
        words = (*ours, f"--seed={seed}", f"--max_train_minutes={given.minutes:g}")
        name = f"ecapa_ours_{seed}"
        found = benchmark.result(name, given.minutes, lambda n=name, w=words: benchmark.train(n, w, LENGTHS))
        rows.append(("this project", seed, found))
        if given.peer_python:
            name = f"ecapa_mvector_{seed}"
            found = benchmark.result(name, given.minutes, lambda n=name, s=seed: mvector(benchmark, n, s))
            rows.append(("mvector 1.1.7", seed, found))
    words = (*ours, "--seed=0", "--max_train_minutes=0", *UNTRAINED)
    found = benchmark.result("ecapa_untrained", 0, lambda: benchmark.train("ecapa_untrained", words, LENGTHS))
    print_rates([*rows, ("untrained", 0, found)], LENGTHS)


def mvector(benchmark: Benchmark, name: str, seed: int) -> dict:
    """Train mvector, and test its embeddings."""
    given, arrays = benchmark.given, benchmark.out / f"{name}.npz"
    worker = ROOT / "benchmarks" / "training_mvector.py"
    said = command(given.peer_python, worker, benchmark.corpus, arrays, str(60 * given.minutes), str(seed))
    found = {"steps": int(re.search(r"^steps (\d+)", said, re.MULTILINE)[1])}
    with np.load(arrays) as embeddings:
        assert embeddings["names"].tolist() == benchmark.trials.names
        return {**found, **{what: benchmark.trials.rates(embeddings[what]) for what in LENGTHS}}


def objectives(benchmark: Benchmark) -> None:
    """Train ResNetSE34L with each objective at its defaults."""
    given, rows = benchmark.given, []
    store = benchmark.store("waveform")
    base = ("--config_path=/dev/null", f"--train_data_path={store}", *RESNET, *OFTEN)
    for loss in LOSSES:
        size = getattr(LOSSES.get(loss).Options(), "num_utterances", 0)
        sampler = ("--sampler.name=speakers", f"--sampler.num_utterances={size}") if size else ()
        words = (*base, f"--loss.name={loss}", *sampler, *CYCLE)
        words += (f"--seed={given.seeds[0]}", f"--max_train_minutes={given.minutes:g}")
        name = f"objective_{loss}"
        found = benchmark.result(name, given.minutes, lambda n=name, w=words: benchmark.train(n, w, LENGTHS))
        rows.append((loss, given.seeds[0], found))
    words = (*base, *UNTRAINED)
    found = benchmark.result("objective_untrained", 0, lambda: benchmark.train("objective_untrained", words, LENGTHS))
    print_rates([*rows, ("untrained", 0, found)], LENGTHS)


def finetune(benchmark: Benchmark) -> None:
    """Fine-tune CAM++ with half of the noises, and test it with the other half."""
    given, rows = benchmark.given, []
    noises = sorted((benchmark.corpus / "noise").glob("*.wav"))
    trained, heard = noises[::2], noises[1::2]
    folder = benchmark.out / "noises"
    folder.mkdir(exist_ok=True)
    for noise in trained:
        shutil.copy(noise, folder)
    changes = {**LENGTHS, "0 dB": in_noise(heard, benchmark.trials.names)}
    public = benchmark.result(
        "finetune_public", 0, lambda: benchmark.measured(Embedder.open("campplus_zh_en").embed, changes)
    )
    rows.append(("public weights", "-", {"steps": 0, **public}))
    base = (f"--config_path={ROOT / 'hparams/recipes/finetune_campplus.yaml'}",)
    base += (f"--train_data_path={benchmark.store('waveform')}", f"--noise_folder={folder}", "--log_steps=5")
    base += (f"--rir_folder={benchmark.corpus / 'rir'}", f"--max_train_minutes={given.minutes:g}")
    base += ("--valid_utterances=0",)  # the corpus has one recording of each reader
    for variant in given.variants:
        for seed in given.seeds:
            name, words = f"finetune_{variant}_{seed}", (*base, *VARIANTS[variant], f"--seed={seed}")
            found = benchmark.result(name, given.minutes, lambda n=name, w=words: benchmark.train(n, w, changes))
            rows.append((variant, seed, found))
    print_rates(rows, changes)


def in_noise(noises: list[Path], names: list[str]) -> Change:
    """Return what adds noise as loud as the speech to the first 1.5 s, to each recording always the same one."""
    samples = [read_audio(noise).waveform for noise in noises]

    def change(name: str, waveform: np.ndarray) -> np.ndarray:
        random = np.random.default_rng([NOISE_SEED, names.index(name)])
        noise = samples[random.integers(len(samples))]
        speech = waveform[:CUT]
        return at_snr(speech, np.resize(np.roll(noise, -int(random.integers(len(noise)))), len(speech)), 0.0)

    return change


def print_rates(rows: list[tuple[str, object, dict]], changes: Mapping[str, Change]) -> None:
    """Print every run, and the medians over seeds."""
    print("| | seed | steps |" + "".join(f" EER, {what} |" for what in changes))
    print("|---|---|---|" + "---|" * len(changes))
    for what, seed, found in rows:
        print(f"| {what} | {seed} | {found['steps']} |" + "".join(f" {_percent(*found[name])} |" for name in changes))
    for what in dict.fromkeys(what for what, _, _ in rows):
        runs = [found for name, _, found in rows if name == what]
        if len(runs) > 1:
            steps = statistics.median(found["steps"] for found in runs)
            rates = [statistics.median(found[name][0] for found in runs) for name in changes]
            print(f"| {what} | median | {steps:g} |" + "".join(f" {100 * rate:.2f} % |" for rate in rates))


def _percent(rate: float, low: float, high: float) -> str:
    return f"{100 * rate:.2f} % ({100 * low:.1f} to {100 * high:.1f})"


def main() -> int:
    """Run what is missing, and print a table of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parts = {"ecapa": ecapa, "objectives": objectives, "finetune": finetune}
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--peer_python", help="of an environment with torch and mvector")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["recipe"])
    given = parser.parse_args()
    for part in given.parts:
        parts[part](Benchmark(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
