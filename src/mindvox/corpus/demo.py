"""Make the demo corpus: sentences spoken by espeak-ng's synthetic voices, with a trial list.

Usage: mindvox demo-corpus OUT_FOLDER

The folder gets voxceleb12/wav (training voices), voxceleb1/wav (test voices), voxceleb1/veri_test2.txt and demo.json.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import soundfile
from scipy.signal import resample_poly
from tqdm import tqdm

from mindvox.arguments import Parser
from mindvox.corpus.audio import SAMPLE_RATE
from mindvox.corpus.espeak import Espeak
from mindvox.corpus.make_trials import choose_trials
from mindvox.corpus.trials import write_trials
from mindvox.errors import InputError, UsageError, run
from mindvox.files import PathLike, lock_output, read_json, user_path, write_json

# Variants of espeak-ng 1.51 and 1.52, ordered greedily: each differs most in spectrum and pitch from those before it.
# Whispering and robot voices are left out.
VARIANTS = (  # noqa: SIM905 - a list would take one line a name
    "m3 zac Alicia belinda klatt2 steph2 kaukovalta anika Lee travis caleb iven2 Andrea gustave f5 Andy grandma boris "
    "shelby f1 Marco Storm RicishayMax3 Jacky ed pablo norbert Annie miguel aunty m7 victor sandro klatt3 RicishayMax "
    "iven4 paul antonio Gene2 quincy marcelo m5 f3 linda david robert announcer f2"
).split()
# Languages whose pronunciation rules are applied to the English text, which gives an accent.
LANGUAGES = ("en-us", "de", "en-gb-scotland", "es", "en-029", "it", "nl", "en-gb-x-rp", "pt", "cs", "pl")
MAX_VOICES = len(VARIANTS) * len(LANGUAGES)
WORDS_PER_MINUTE = (150, 190)
PITCH = (35, 66)  # espeak-ng's scale is 0-99; each variant maps it to its own range
DURATION_S = (3.0, 6.0)
UTTERANCES_IN_SESSION = 5

_SENTENCE = (
    "After supper|At first light|Before the long winter|During the quiet week|Early on Sunday|In late autumn|"
    "Just before noon|Late in the evening|On a rainy day|Once every summer|Shortly after sunrise|When the fair opened",
    "the|a|our|their|every|one|some|another",
    "brave|careful|cheerful|clever|eager|friendly|gentle|honest|hungry|lucky|patient|proud|quiet|shy|tired|young",
    "baker|captain|doctor|driver|farmer|gardener|hunter|judge|painter|pilot|poet|singer|soldier|teacher|uncle|waiter",
    "bought|carried|chose|cleaned|dropped|examined|fetched|found|guarded|lifted|moved|noticed|painted|sold|took|washed",
    "two|five|seven|nine|eleven|twenty|forty|sixty",
    "ancient|bitter|broken|colourful|dusty|enormous|fragile|golden|heavy|narrow|purple|smooth|useful|velvet|wooden",
    "apples|barrels|baskets|blankets|candles|carpets|feathers|hammers|jackets|ladders|mirrors|parcels|shovels|violins",
    "above|behind|beside|beyond|inside|near|opposite|outside|under",
    "the bridge|the castle|the chapel|the factory|the forest|the harbour|the library|the market|the orchard|the river",
)


class Voice(NamedTuple):
    """A synthetic speaker: espeak-ng's name, speed (words per minute), pitch (0-99), and the seed of its texts."""

    spk_id: str
    name: str
    rate: int
    pitch: int
    text_seed: tuple[int, int]


@dataclass(frozen=True)
class DemoSettings:
    """The settings that determine the corpus."""

    num_voices: int = 48
    utterances: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        if not 4 <= self.num_voices <= MAX_VOICES:
            raise UsageError(f"num_voices: expected 4 to {MAX_VOICES}, got {self.num_voices}.")
        if self.utterances < 2:
            raise UsageError(f"utterances: expected at least 2 per voice, got {self.utterances}.")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, got {self.seed}.")


def choose_voices(settings: DemoSettings) -> list[Voice]:
    """Return voices in random order; no two have the same variant and language."""
    rng = np.random.default_rng(settings.seed)
    voices = []
    for position, choice in enumerate(rng.permutation(settings.num_voices)):
        lap, index = divmod(int(choice), len(VARIANTS))
        language = LANGUAGES[(index + lap) % len(LANGUAGES)]
        rate, pitch = int(rng.integers(*WORDS_PER_MINUTE)), int(rng.integers(*PITCH))
        name = f"{language}+{VARIANTS[index]}"
        voices.append(Voice(f"id{10001 + position}", name, rate, pitch, (settings.seed, position)))
    return voices


def sentences(rng: np.random.Generator) -> Iterator[str]:
    """Yield random sentences forever, without repetition."""
    seen = set()
    choices = [slot.split("|") for slot in _SENTENCE]
    while True:
        sentence = " ".join(slot[rng.integers(len(slot))] for slot in choices) + "."
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def speak(folder: Path, num_utterances: int, voice: Voice) -> list[str]:
    """Write a voice's utterances below `folder`; return their ids, which are their paths in it.

    Rate and pitch vary a little between utterances, as in people.
    """
    espeak = Espeak(voice.name)
    rng = np.random.default_rng(voice.text_seed)
    utt_ids: list[str] = []
    for text in islice(sentences(rng), 20 * num_utterances):
        rate, pitch = voice.rate + int(rng.integers(-10, 11)), voice.pitch + int(rng.integers(-4, 5))
        waveform = resample_poly(espeak.synthesise(text, rate, pitch), SAMPLE_RATE, espeak.sample_rate)
        if DURATION_S[0] <= len(waveform) / SAMPLE_RATE <= DURATION_S[1]:
            session, number = divmod(len(utt_ids), UTTERANCES_IN_SESSION)
            utt_ids.append(f"{voice.spk_id}/session{session + 1}/{number + 1:05d}.wav")
            path = Path(folder, utt_ids[-1])
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.clip(waveform, -1, 1), SAMPLE_RATE, subtype="PCM_16")
        if len(utt_ids) == num_utterances:
            return utt_ids
    raise RuntimeError(f"{voice.name}: too few sentences last {DURATION_S[0]:g} to {DURATION_S[1]:g} s.")


def make_demo_corpus(folder: PathLike, settings: DemoSettings) -> bool:
    """Make the corpus, whole or not at all; repeated runs give identical bytes.

    Returns:
        False if the folder holds this corpus already.

    Raises:
        InputError: espeak-ng is missing, or the folder holds something else.
    """
    folder = Path(folder)
    if _holds_corpus(folder, settings):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        corpus = Path(temporary, "corpus")
        voices = choose_voices(settings)
        num_test = max(2, len(voices) // 6)
        _speak_all(voices[num_test:], settings.utterances, corpus / "voxceleb12" / "wav")
        test_ids = _speak_all(voices[:num_test], settings.utterances, corpus / "voxceleb1" / "wav")
        write_trials(corpus / "voxceleb1" / "veri_test2.txt", choose_trials(test_ids, seed=settings.seed))
        write_json(corpus / "demo.json", _record(settings))
        corpus.rename(folder)
    return True


def _holds_corpus(folder: Path, settings: DemoSettings) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not Path(folder, "demo.json").is_file():
        raise InputError(f"{folder}: exists and is not a demo corpus. Name another folder.")
    found = read_json(Path(folder, "demo.json"))
    changed = [
        f"{key} {found.get(key)}, not {value}" for key, value in _record(settings).items() if found.get(key) != value
    ]
    if changed:
        raise InputError(f"{folder}: was made with {'; '.join(changed)}. Delete it or name another folder.")
    return True


def _record(settings: DemoSettings) -> dict[str, int]:
    """Return the content of demo.json, which is written last."""
    return {"format_version": 1, **asdict(settings)}


def _speak_all(voices: Sequence[Voice], num_utterances: int, folder: Path) -> list[str]:
    """Write the utterances of all voices, each voice in its own process, because espeak-ng keeps state."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["mindvox.corpus.audio"])  # each process then starts with SciPy loaded

    def speak_apart(voice: Voice) -> list[str]:
        with ProcessPoolExecutor(1, context) as process:
            return process.submit(speak, folder, num_utterances, voice).result()

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        done = tqdm(
            threads.map(speak_apart, voices), "speaking", len(voices), unit=" voices", disable=None, leave=False
        )
        return [utt_id for utt_ids in done for utt_id in utt_ids]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Make the demo corpus and print its location."""
    defaults = DemoSettings()
    parser = Parser(prog="mindvox demo-corpus", description=__doc__.splitlines()[0])
    parser.add_argument("out_folder", type=user_path, help="folder to create")
    parser.add_argument(
        "--num_voices", type=int, default=defaults.num_voices, help="number of voices; a sixth is for testing"
    )
    parser.add_argument("--utterances", type=int, default=defaults.utterances, help="number of utterances per voice")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="random seed of voices, texts and trials")
    args = parser.parse_args(argv)
    settings = DemoSettings(args.num_voices, args.utterances, args.seed)
    with lock_output(args.out_folder):
        is_new = make_demo_corpus(args.out_folder, settings)
    print(
        f"{args.out_folder}: {settings.num_voices} voices x {settings.utterances} utterances "
        f"({'made' if is_new else 'there already'}).\n"
        "The voices are synthetic (espeak-ng): they show that the pipeline works and say nothing about its accuracy."
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
