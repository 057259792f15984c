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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mindvox.corpus.audio import SAMPLE_RATE, read_audio
from mindvox.corpus.layouts import scan_tree
from mindvox.data.recipe import Voices
from mindvox.frontend.augment import AddBabble


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("test_corpus", type=Path, help="holds wav/ and veri_test2.txt")
    parser.add_argument("other_corpus", type=Path, help="holds wav/")
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=int, default=3)
    parser.add_argument("--snr_db", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    voices = Voices(scan_tree(arguments.other_corpus)[0], arguments.other_corpus)
    add_babble = AddBabble([arguments.voices] * 2, [arguments.snr_db] * 2)
    for utterance in scan_tree(arguments.test_corpus)[0]:
        waveform = read_audio(arguments.test_corpus / utterance.wav).waveform
        drawn = add_babble.draw(rng, len(waveform))
        path = arguments.out / utterance.wav
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, add_babble.apply(waveform, drawn, voices.besides(utterance.spk_id)), SAMPLE_RATE)
    shutil.copy(arguments.test_corpus / "veri_test2.txt", arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
