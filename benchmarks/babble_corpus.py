"""Put the voices of other speakers behind every recording of a test corpus.

python benchmarks/babble_corpus.py TEST_CORPUS OTHER_CORPUS OUT [--voices 3] [--snr_db 10] [--seed 0]

OUT gets the recordings under the same names, and the trial list.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.corpus.audio import read_audio  # noqa: E402 - the project's folder must be on the path
from src.corpus.tree import scan_tree  # noqa: E402
from src.frontend.distortions import add_noise  # noqa: E402


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test_corpus", type=Path, help="holds wav/ and veri_test2.txt")
    parser.add_argument("other_corpus", type=Path, help="holds wav/ with other speakers")
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=int, default=3)
    parser.add_argument("--snr_db", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    others = [read(arguments.other_corpus, found.utt_id) for found in scan_tree(arguments.other_corpus)[0]]
    for found in scan_tree(arguments.test_corpus)[0]:
        speech = read(arguments.test_corpus, found.utt_id)
        voices = [others[index] for index in rng.choice(len(others), arguments.voices, replace=False)]
        babble = np.sum([np.resize(voice, len(speech)) for voice in voices], axis=0)
        path = arguments.out / "wav" / found.utt_id
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, add_noise(speech, babble, arguments.snr_db), 16000)
    shutil.copy(arguments.test_corpus / "veri_test2.txt", arguments.out)
    return 0


def read(corpus: Path, utt_id: str) -> np.ndarray:
    """Read a recording of a corpus."""
    return read_audio(corpus / "wav" / utt_id).waveform


if __name__ == "__main__":
    sys.exit(main())
