"""One model in every engine: `python benchmarks/engines.py CORPUS [--model NAME | --model_path CKPT] [--frames 148]`.

The error rate of the trials of CORPUS/voxceleb1 (Mini LibriSpeech), each utterance cut to its first 148 frames (1.5 s),
and the least cosine with ONNX Runtime's embeddings: MindSpore, ONNX Runtime, OpenVINO and the C++ program, which must
be built (bash ascend310_infer/build.sh). The model is a public one that was fetched (campplus_zh_en), or a checkpoint
(a file, or a folder, of which that of the most steps counts). SpeechBrain's fbank has 151 frames in 1.5 s.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindvox.config import Config, load_config
from mindvox.corpus.audio import read_audio
from mindvox.corpus.trials import read_trials
from mindvox.deploy.export import export
from mindvox.engines.engine import load_engine
from mindvox.frontend import front_end_of
from mindvox.frontend.frames import cut_frames
from mindvox.home import CHECKPOINT, ONNX, model_folder
from mindvox.scoring.embeddings import EmbeddingStore
from mindvox.scoring.metrics import eer
from mindvox.scoring.normalisation import unit_length

PROGRAM = Path(__file__).resolve().parents[1] / "ascend310_infer" / "build" / "ecapa_infer"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print a table; the exit code is 1 when error rates differ in their fourth digit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", default="campplus_zh_en", help="public model")
    chosen.add_argument("--model_path", metavar="CKPT", help="checkpoint, or folder of them")
    parser.add_argument("--frames", type=int, default=148)
    arguments = parser.parse_args(argv)
    corpus = arguments.corpus / "voxceleb1"
    trials = read_trials(corpus / "veri_test2.txt")
    names = sorted({name for trial in trials for name in (trial.enrol, trial.test)})
    with tempfile.TemporaryDirectory() as work:
        if arguments.model_path:
            checkpoint = Path(arguments.model_path)
            onnx = _exported(checkpoint, work, "--file_format=ONNX", "--length=0", "--batch_size=0")
        else:
            folder = model_folder(arguments.model)
            checkpoint, onnx = folder / CHECKPOINT, folder / ONNX
        engines = {library: load_engine(onnx, library) for library in ("onnxruntime", "openvino")}
        front_end = front_end_of(engines["onnxruntime"].exported.front_end)
        feats = [
            front_end.finish(cut_frames(front_end(read_audio(corpus / "wav" / name).waveform), arguments.frames))
            for name in names
        ]
        words = ("--file_format=MINDIR", f"--length={arguments.frames}", "--batch_size=1")
        engines["mindspore"] = load_engine(_exported(checkpoint, work, *words), device_target="CPU")
        found = {
            engine.name: np.concatenate([engine.encode(one[None]) for one in feats]) for engine in engines.values()
        }
        Path(work, "list.txt").write_text("".join(f"{name}\t{corpus.resolve() / 'wav' / name}\n" for name in names))
        command = [PROGRAM, "--model", onnx, "--wav_list", f"{work}/list.txt", "--output", f"{work}/out"]
        subprocess.run([*command, "--cut_frames", str(arguments.frames)], check=True)
        store = EmbeddingStore.open(f"{work}/out")
        assert store.utt_ids == names
        found[f"C++, {store.identity.engine}"] = np.array(store.embeddings)
    is_target = np.array([trial.is_target for trial in trials])
    first, second = (np.array([names.index(name) for name in side]) for side in zip(*_sides(trials), strict=True))
    expected = unit_length(found[engines["onnxruntime"].name], names)
    print("| engine | EER, % | least cosine |\n|---|---|---|")
    rates = []
    for name, embeddings in found.items():
        rows = unit_length(embeddings, names)
        rates.append(round(100 * eer((rows[first] * rows[second]).sum(axis=1), is_target).eer, 4))
        print(f"| {name} | {rates[-1]:.4f} | {(rows * expected).sum(axis=1).min():.7f} |")
    return 0 if len(set(rates)) == 1 else 1


def _exported(checkpoint: Path, folder: str, *words: str) -> Path:
    words = (f"--exp_ckpt_file={checkpoint}", f"--file_name={folder}/m", "--device_target=CPU", *words)
    return export(load_config(Config, ["--config_path=/dev/null", *words]))


def _sides(trials: Sequence) -> list[tuple[str, str]]:
    return [(trial.enrol, trial.test) for trial in trials]


if __name__ == "__main__":
    raise SystemExit(main())
