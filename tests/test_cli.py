"""The command `mindvox`: its list, its subcommands, and the scripts at the root that do the same."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mindvox.cli import COMMANDS, main, usage
from mindvox.errors import InputError, UsageError
from mindvox.files import named_path, user_path, user_text

ROOT = Path(__file__).resolve().parent.parent
SHIMS = {
    "train_data_prepare.py": "prepare train",
    "eval_data_prepare.py": "prepare eval",
    "merge_data.py": "prepare merge",
    "train.py": "train",
    "eval.py": "eval",
    "export.py": "export",
}
# Arguments that are text, not paths.
TEXTS = {"name", "parts", "openslr_url", "lists_url", "speaker_pattern", "title", "server_id"}
TEXTS |= {"dask", "host", "allowed_host", "trusted_proxy"}  # addresses
TEXTS |= {"scopes", "token"}  # of callers of the service
TEXTS |= {"among", "consent", "group", "names", "new_name"}  # of speakers
KEYED = {"prepare train", "prepare eval", "prepare merge", "train", "eval", "export"}  # test_config.py: their keys


@pytest.fixture(autouse=True)
def own_argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mindvox"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_under_its_name(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*name.split(), "--help"])
    assert caught.value.code == 0
    assert "usage: " in (said := capsys.readouterr().out)
    assert name in said.replace("_", "-") or name in ("train-distributed", "convert-310")  # called by their scripts


def test_list_names_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and command.summary in said for name, command in COMMANDS.items())
    assert main([]) == 2
    assert capsys.readouterr().out == f"{usage()}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "no command 'trian'; did you mean 'mindvox train'?"),
        (["prepare"], "no command 'prepare'; did you mean 'mindvox prepare "),
        (["prepare", "trian"], "no command 'prepare trian'; did you mean 'mindvox prepare train'?"),
        (["zzz"], "no command 'zzz'; `mindvox --help` lists the commands."),
    ],
)
def test_unknown_commands_are_named_with_the_nearest(words, said):
    with pytest.raises(UsageError) as caught:
        main(words)
    assert said in str(caught.value)


def test_wrong_arguments_of_a_command_are_wrong_usage():
    done = subprocess.run(
        [sys.executable, "-m", "mindvox", "train", "--chanels=3"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown key 'chanels'; did you mean 'channels'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("verify a.wav --json b.wav", "a.wav: no such file"),
        ("enrol Anna --add b.wav", "b.wav: no such file"),
        ("enrol Anna a.wav --add b.wav", "a.wav: no such file"),
        ("identify --among Anna Bert -- -a.wav", "-a.wav: no such file"),
    ],
)
def test_options_may_stand_between_recordings(words, said):
    with pytest.raises(InputError, match=f"^{said}"):
        main(words.split())


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - KEYED - {"train-distributed"}))  # train's keys
def test_a_mistake_is_one_line_and_nothing_is_abbreviated(name):
    with pytest.raises((UsageError, InputError)) as caught:
        main([*name.split(), "--hel"])
    assert "\n" not in str(caught.value)


class Found(Exception):  # noqa: N818 - not an error
    """Carries the parser of a command."""


def parser_of(command: str, monkeypatch) -> argparse.ArgumentParser:
    def stop(self, *_):
        raise Found(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    with pytest.raises(Found) as caught:
        main([*command.split(), "a", "b"])
    return caught.value.args[0]


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser and its subcommands that take text."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [argument for part in action.choices.values() for argument in arguments_of(part)]
        elif action.nargs != 0 and action.choices is None:
            found.append(action)
    return found


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - KEYED))
def test_every_path_on_a_command_line_expands(command, monkeypatch):
    arguments = arguments_of(parser_of(command, monkeypatch))
    plain = {action.dest for action in arguments if action.type in (None, str)}
    assert (arguments or command == "doctor") and plain <= TEXTS, (
        "give paths the type user_path, user_text or named_path"
    )
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/big")
    for action in arguments:
        if action.type in (user_path, user_text):
            assert [str(action.type(text)) for text in ("~/a", "$DATA/a")] == ["/home/me/a", "/big/a"]
        elif action.type is named_path:
            assert action.type("a=~/b:c") == ("a", "/home/me/b:c") and action.type("$DATA/b=c") == ("", "/big/b=c")


@pytest.mark.parametrize("script", SHIMS)
def test_script_at_the_root_is_the_command_and_needs_no_installation(script, tmp_path):
    module = importlib.import_module(COMMANDS[SHIMS[script]].entry.partition(":")[0])
    done = subprocess.run(
        [sys.executable, ROOT / script, "--help"], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"usage: {script}" in done.stdout and callable(module.main)
