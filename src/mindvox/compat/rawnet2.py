"""Train RawNet2 with the commands of its Ascend port: from its folders of recordings to its folder of results.

    bash scripts/train_full_1p.sh --data_path=FOLDER [--key=value ...]

trains on FOLDER/VoxCeleb2/wav, evaluates each epoch on FOLDER/VoxCeleb1/veri_test.txt, and then evaluates the best
epoch on VoxCeleb1-E and -H if FOLDER/VoxCeleb1 has their lists. docs/coming-from.md describes outputs and differences.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mindvox.arguments import Parser
from mindvox.compat.rawnet2_folder import BEST, OutputFolder
from mindvox.config import ROOT, Config, EvalPrepConfig, TrainPrepConfig, load_config, save_config, to_dict
from mindvox.config.sections import SECTIONS
from mindvox.corpus.table_io import read_table
from mindvox.data.prepare import prepare_train
from mindvox.data.prepare_eval import prepare_eval
from mindvox.errors import InputError, UsageError, run
from mindvox.files import escape_path, lock_folder, user_path
from mindvox.parallel import num_cores
from mindvox.training.launch import Job, choose_port, supervise
from mindvox.training.rank_table import Device, RankTable, Server, read_rank_table, table_of_devices

RECIPE = "hparams/rawnet2_ascend.yaml"
TRIALS = "veri_test.txt"
# Names of the lists as published by VoxCeleb's authors; the cleaned list is preferred.
FURTHER_LISTS = {
    "Vox1-E": ("list_test_all2.txt", "list_test_all.txt"),
    "Vox1-H": ("list_test_hard2.txt", "list_test_hard.txt"),
}
OWN_KEYS = (
    *("train_data_path", "ckpt_save_dir", "valid_trials", "valid_data_path", "valid_utterances", "valid_steps"),
    *("valid_epochs", "resume", "run_distribute", "veri_file_path", "eval_data_path", "npy_file_path", "model_path"),
)


@dataclass(frozen=True)
class Experiment:
    """What a command asks for.

    Attributes:
        is_full: whether to train all epochs and evaluate; otherwise one epoch is timed.
        data: folder of VoxCeleb1 and VoxCeleb2.
        stores: folder of prepared data for all experiments.
        output: folder of train_<n>P.
        name: name of the experiment.
        keys: arguments for train.py, as given.
    """

    is_full: bool
    data: Path
    stores: Path
    output: Path
    name: str
    keys: tuple[str, ...]

    def folder(self, num_devices: int) -> OutputFolder:
        """Return the folder of its results."""
        return OutputFolder(self.output / f"train_{num_devices}P" / "DNNS" / self.name)

    def config(self, folder: OutputFolder, device_target: str) -> Config:
        """Return the configuration of its training.

        Raises:
            UsageError: the arguments are wrong, or set a key that the command itself sets.
        """
        given = [word.lstrip("-").partition("=")[0] for word in self.keys]
        taken = [key for key in given if key in OWN_KEYS]
        if taken:
            raise UsageError(f"--{taken[0]}: this command sets it. To choose it, use train.py and eval.py.")
        keys = {
            "train_data_path": self.stores / "train",
            "ckpt_save_dir": folder.models,
            "resume": "auto",
            "veri_file_path": "",
            "device_target": device_target,
        }
        if self.is_full:
            keys |= {"valid_trials": TRIALS, "valid_data_path": self.store(TRIALS), "valid_epochs": 1}
        elif "num_epochs" not in given:
            keys["num_epochs"] = 1
        return load_config(Config, [*self.keys, *_words(keys)], str(ROOT / RECIPE), check=SECTIONS)

    def store(self, trial_list: str) -> Path:
        """Return the folder for the recordings of a trial list of VoxCeleb1."""
        return self.stores / Path(trial_list).stem


def prepare_training(experiment: Experiment) -> float:
    """Make or reuse the training store, and return the mean length of a recording in samples."""
    tables = experiment.stores / "tables_train"
    keys = {
        "data_folder": experiment.data / "VoxCeleb2",
        "feat_folder": experiment.stores / "train",
        "output_folder": tables,
        "layout": "rawnet",
    }
    recipe = ROOT / "hparams" / "prepare_train_online.yaml"
    prepare_train(load_config(TrainPrepConfig, [str(recipe), *_words(keys)]))
    lengths = [utterance.stop - utterance.start for utterance in read_table(_training_table(experiment))]
    return sum(lengths) / len(lengths)


def _training_table(experiment: Experiment) -> Path:
    return experiment.stores / "tables_train" / "save" / "train.csv"


def prepare_trials(experiment: Experiment, trial_list: str) -> Path:
    """Make or reuse the store of a trial list of VoxCeleb1, and return its folder."""
    store = experiment.store(trial_list)
    keys = {
        "data_folder": experiment.data / "VoxCeleb1",
        "layout": "rawnet",
        "verification_file": trial_list,
        "output_folder": store.with_name(f"tables_{store.name}"),
        "feat_eval_folder": store,
        # Cosines need no cohort; a minimal one is made of the training speakers.
        "feat_norm_folder": store.with_name(f"cohort_{store.name}"),
        "train_annotation": _training_table(experiment),
        "train_data_folder": experiment.data / "VoxCeleb2",
        "n_train_snts": 1,
        "store_kind": "waveform",
    }
    recipe = ROOT / "hparams" / "prepare_eval.yaml"
    prepare_eval(load_config(EvalPrepConfig, [str(recipe), *_words(keys)]))
    return store


def _words(keys: Mapping[str, Any]) -> list[str]:
    """Return keys as arguments; `~` and `$` in paths are escaped."""
    values = {key: escape_path(str(value)) if isinstance(value, Path) else value for key, value in keys.items()}
    return [f"--{key}={value}" for key, value in values.items()]


def choose_devices(rank_table: Optional[Path], num_devices: int, device_target: str) -> tuple[RankTable, str]:
    """Return a table of the training devices and their kind, and print them.

    Args:
        rank_table: file; None: make a table of this machine's Ascend devices, or of processes on its CPU.
        num_devices: number of devices in a table that is made.
        device_target: "auto", "CPU", "GPU" or "Ascend".

    Raises:
        UsageError: the table has several servers, or no table can be made.
        InputError: the file is wrong.
    """
    ascend = table_of_devices()
    target = device_target if device_target != "auto" else ("Ascend" if ascend else "CPU")
    if rank_table is not None:
        table = read_rank_table(rank_table)
        if len(table.servers) > 1:
            raise UsageError(
                f"--rank_table: {rank_table} has {len(table.servers)} servers, this command trains on one machine. "
                "For several: scripts/run_distribute_train.sh."
            )
        print(f"{rank_table}: {table.num_ranks} devices ({target})")
        return table, target
    if target == "Ascend":
        if ascend is None:
            raise UsageError("device_target: Ascend, but there is no Ascend device here. Pass --device_target=CPU.")
        ids = ascend.servers[0].device_ids[:num_devices]
    elif target == "CPU":
        ids = list(range(min(num_devices, max(2, num_cores()))))
    else:
        raise UsageError(f"--rank_table: required for device_target {target}, for which no table can be made.")
    what = "Ascend devices" if target == "Ascend" else "processes on the CPU"
    print(f"no rank table is given: made one of {len(ids)} {what} ({num_devices} were asked for)")
    devices = tuple(Device(device_id, rank) for rank, device_id in enumerate(ids))
    return RankTable((Server("127.0.0.1", devices),)), target


def train_on(folder: OutputFolder, config: Config, samples_per_utt: float, table: Optional[RankTable]) -> None:
    """Train in this process, or in one process per device of a table, and write the experiment's folder."""
    if table is None:
        from mindvox.compat.rawnet2_run import train_into  # MindSpore takes seconds to import

        train_into(folder, config, samples_per_utt, 1)
        return
    save_config(config, folder.config)
    job = Job(table, table.servers[0], choose_port(None, may_change=True), config.device_target)
    words = [str(folder.root), str(samples_per_utt), str(table.num_ranks), f"--config_path={folder.config}"]
    supervise(job, [*words, "--run_distribute=true"], Path(__file__).with_name("rawnet2_run.py"))


def evaluate_lists(experiment: Experiment, folder: OutputFolder, config: Config) -> None:
    """Evaluate the best epoch on VoxCeleb1-E and -H, if VoxCeleb1 has their lists."""
    for name, files in FURTHER_LISTS.items():
        trial_list = next((file for file in files if (experiment.data / "VoxCeleb1" / file).is_file()), None)
        if trial_list is None:
            print(f"{name}: no {' or '.join(files)} in {experiment.data / 'VoxCeleb1'}: not evaluated")
            continue
        from mindvox.scoring.checkpoint import evaluate_checkpoint  # MindSpore takes seconds to import

        keys = {
            "model_path": folder.models / BEST,
            "eval_data_path": prepare_trials(experiment, trial_list),
            "veri_file_path": trial_list,
            "npy_file_path": folder.results / Path(trial_list).stem,
            "train_norm_path": "",
            "score_norm": "none",
            "sub_mean": "test",
            "print_like": "rawnet2",
            "eval_batch_size": config.eval_batch_size,
            "max_frames": config.max_frames,
            "device_target": config.device_target,
            "device_id": config.device_id,
        }
        result = evaluate_checkpoint(load_config(Config, _words(keys), str(ROOT / RECIPE)))["baseline"]
        print(f"{name} ({trial_list}): eer:{result.eer:.4f}")


def write_params(path: Path, config: Config) -> None:
    """Write every setting on a line, `key:<TAB>value`, as in the port."""
    lines = []
    for key, value in to_dict(config).items():
        parts = value.items() if isinstance(value, dict) else {None: value}.items()
        lines += [f"{key}{f'.{name}' if name else ''}:\t{part}\n" for name, part in parts]
    path.write_text("".join(sorted(lines)), encoding="utf-8")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prepare, train, and evaluate."""
    started = time.monotonic()
    arguments, keys = _parse(argv)
    stores = arguments.store_path or arguments.output_path / "stores"
    is_full = arguments.kind == "full"
    experiment = Experiment(is_full, arguments.data_path, stores, arguments.output_path, arguments.name, tuple(keys))
    _check_data(experiment)
    table, target = None, arguments.device_target
    if arguments.num_devices > 1 or arguments.rank_table:
        table, target = choose_devices(arguments.rank_table, arguments.num_devices, target)
    num_devices = table.num_ranks if table else 1
    folder = experiment.folder(num_devices)
    config = experiment.config(folder, target)
    folder.make()
    with lock_folder(folder.root, wait=False):
        write_params(folder.params, config)
        samples_per_utt = prepare_training(experiment)
        if is_full:
            prepare_trials(experiment, TRIALS)
        train_on(folder, config, samples_per_utt, table)
        if is_full:
            evaluate_lists(experiment, folder, config)
    print("------------------ Final result ------------------")
    _print_final("Final Performance images/sec", folder.last_fps(), ".2f")
    if is_full:
        _print_final("Final Train Accuracy", folder.last_eer(), ".4f")
    print(f"E2E Training Duration sec : {time.monotonic() - started:.0f}")
    return 0


def _print_final(what: str, value: Optional[float], form: str) -> None:
    print(f"{what} : {'not measured' if value is None else format(value, form)}")


def _check_data(experiment: Experiment) -> None:
    """Raise InputError unless the required folders and lists exist."""
    needed = ["VoxCeleb2/wav"]
    if experiment.is_full:
        needed += ["VoxCeleb1/eval_wav", f"VoxCeleb1/{TRIALS}"]
    for name in needed:
        if not (experiment.data / name).exists():
            raise InputError(
                f"--data_path: {experiment.data} has no {name}. Expected VoxCeleb2/wav, VoxCeleb1/dev_wav, "
                f"VoxCeleb1/eval_wav and VoxCeleb1/{TRIALS}: mindvox get-data downloads them (docs/data.md)."
            )


def _parse(argv: Optional[Sequence[str]]) -> tuple[argparse.Namespace, list[str]]:
    parser = Parser(
        prog="mindvox train-rawnet2",
        usage="%(prog)s {full,performance} NUM_DEVICES --data_path FOLDER [--key=value ...]",
        description="Train RawNet2 like its Ascend port, with the same folders.",
        epilog="Further --key=value arguments are train.py's.",
    )
    parser.add_argument("kind", choices=("full", "performance"), help="full: train and evaluate; or time one epoch")
    parser.add_argument("num_devices", type=int, metavar="NUM_DEVICES", help="number of devices: 1 or 8")
    parser.add_argument(
        "--data_path", type=user_path, required=True, metavar="FOLDER", help="folder of VoxCeleb1 and VoxCeleb2"
    )
    parser.add_argument("--name", default="RawNet2", help="name of the experiment (default: %(default)s)")
    parser.add_argument(
        "--output_path", type=user_path, default=Path("train"), metavar="FOLDER", help="results (default: %(default)s)"
    )
    parser.add_argument(
        "--store_path", type=user_path, metavar="FOLDER", help="prepared data (default: OUTPUT_PATH/stores)"
    )
    parser.add_argument(
        "--rank_table", type=user_path, metavar="FILE", help="table of the devices; default: made for this machine"
    )
    parser.add_argument(
        "--device_target", default="auto", choices=("auto", "CPU", "GPU", "Ascend"), help="device to train on"
    )
    arguments, keys = parser.parse_known_args(argv)
    if arguments.num_devices < 1:
        raise UsageError(f"NUM_DEVICES: expected at least 1, got {arguments.num_devices}.")
    if not arguments.name or "/" in arguments.name:
        raise UsageError(f"--name: expected the name of a folder, got {arguments.name!r}.")
    return arguments, keys


if __name__ == "__main__":
    sys.exit(run(main))
