"""The command `mindvox`: each subcommand is the entry point of one module."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple, Optional

from mindvox.errors import UsageError, did_you_mean, run


class Command(NamedTuple):
    """An entry point, "module:function", and a short summary for the list of commands."""

    entry: str
    summary: str


COMMANDS = {
    "verify": Command("mindvox.cli.verify:main", "decide whether two recordings are of the same person"),
    "enrol": Command("mindvox.cli.enrol:main", "enrol a speaker from recordings"),
    "identify": Command("mindvox.cli.identify:main", "find out which enrolled speaker is in a recording"),
    "enrol-all": Command("mindvox.cli.speaker_batches:enrol_main", "enrol the speakers of a corpus"),
    "identify-all": Command("mindvox.cli.speaker_batches:identify_main", "identify the speakers of many recordings"),
    "speakers": Command("mindvox.cli.speakers:main", "list, show, rename, delete, export, import enrolled speakers"),
    "infer-contrast": Command("mindvox.compat.infer_contrast:main", "compare two recordings as mvector's program does"),
    "infer-recognition": Command("mindvox.compat.infer_recognition:main", "mvector's menu: enrol, recognise, delete"),
    "embed": Command("mindvox.cli.embed:main", "compute embeddings of recordings"),
    "diarize": Command("mindvox.cli.diarize:main", "find out who spoke when"),
    "serve": Command("mindvox.cli.serve:main", "serve verification over HTTP, with a web page"),
    "tokens": Command("mindvox.cli.tokens:main", "make, list and revoke access tokens of the service"),
    "score-rttm": Command("mindvox.cli.score_rttm:main", "compute error rates of diarization"),
    "fetch": Command("mindvox.cli.fetch:main", "fetch a public model by its name"),
    "models": Command("mindvox.cli.models:main", "list the public models"),
    "doctor": Command("mindvox.cli.doctor:main", "check what works here, and what to install for the rest"),
    "get-data": Command("mindvox.corpus.get_data:main", "download and unpack corpora, noises and trial lists"),
    "convert-audio": Command("mindvox.corpus.convert:main", "convert recordings to 16 kHz wav or flac"),
    "intake": Command("mindvox.cli.intake:main", "turn your recordings into tables, trials and settings"),
    "make-trials": Command("mindvox.corpus.make_trials:main", "draw a trial list for a corpus"),
    "make-rooms": Command("mindvox.corpus.make_rooms:main", "simulate room responses"),
    "make-conversations": Command("mindvox.cli.make_conversations:main", "mix conversations with their RTTM"),
    "demo-corpus": Command("mindvox.corpus.demo:main", "synthesise a small corpus"),
    "prepare train": Command("mindvox.cli.prepare_train:main", "prepare the training store from recordings"),
    "prepare eval": Command(
        "mindvox.cli.prepare_eval:main", "prepare the evaluation and cohort stores from recordings"
    ),
    "prepare merge": Command("mindvox.cli.prepare_merge:main", "join training stores"),
    "train": Command("mindvox.cli.train:main", "train a model"),
    "train-distributed": Command("mindvox.training.launch:main", "train on the devices of a rank table"),
    "train-rawnet2": Command("mindvox.compat.rawnet2:main", "train RawNet2 as its Ascend port does"),
    "average-checkpoints": Command("mindvox.training.average_checkpoints:main", "average the weights of checkpoints"),
    "import": Command("mindvox.deploy.import_weights:main", "convert another toolkit's weights to a checkpoint"),
    "import-weights": Command("mindvox.deploy.import_weights:main", "another name of import"),
    "eval": Command("mindvox.cli.eval:main", "evaluate a checkpoint on a trial list"),
    "export": Command("mindvox.cli.export:main", "export a checkpoint to MINDIR, ONNX, IR or AIR"),
    "convert-310": Command("mindvox.deploy.convert:main", "convert a MINDIR for Ascend by converter_lite"),
    "check-parity": Command("mindvox.deploy.check_parity:main", "compare exported models with their checkpoint"),
    "infer": Command("mindvox.deploy.infer:main", "compute embeddings of a store with an exported model"),
    "bench": Command("mindvox.deploy.bench:main", "run the benchmark of the Ascend 310P guide"),
    "score": Command("mindvox.scoring.score:main", "score a trial list from stored embeddings"),
    "calibrate": Command("mindvox.scoring.calibrate:main", "turn scores into calibrated log-likelihood ratios"),
    "calibrate pairs": Command("mindvox.cli.calibrate_pairs:main", "fit your own calibration of verify on recordings"),
    "plda": Command("mindvox.scoring.plda:main", "fit and apply PLDA"),
    "report": Command("mindvox.scoring.report:main", "write a report of scores with figures"),
    "convert-scores": Command("mindvox.scoring.convert:main", "convert embeddings, scores and lists of other toolkits"),
    "summary": Command("mindvox.scoring.summary:main", "print a table of several results"),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Call the subcommand at the start of the arguments."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if name not in COMMANDS:
        given = " ".join(words[:2]) if words[0] == "prepare" else words[0]
        hint = did_you_mean(given, COMMANDS, otherwise="; `mindvox --help` lists the commands.", prefix="mindvox ")
        raise UsageError(f"mindvox: no command '{given}'{hint}")
    module, _, function = COMMANDS[name].entry.partition(":")
    sys.argv[0] = f"mindvox {name}"  # its name in --help and in locks
    return getattr(importlib.import_module(module), function)(words[len(name.split()) :])


def usage() -> str:
    """Return the list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: mindvox COMMAND ...", "", "commands:", *lines, "", "`mindvox COMMAND --help` explains its arguments."]
    )


def console() -> int:
    """Run as the console command; return the exit code."""
    return run(main)
