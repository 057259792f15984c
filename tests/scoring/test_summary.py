"""The table that ends the demo."""

import json

import pytest

from mindvox.errors import InputError, UsageError
from mindvox.scoring.summary import main


def results(value):
    return {"eer": value, "min_dcf": {"0.01": 2 * value}}


def test_systems_stand_side_by_side_with_the_norm_last(tmp_path, capsys):
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(
        json.dumps({"results": {"s-norm": results(0.1), "baseline": results(0.2), "sub_mean": results(0.3)}})
    )
    two.write_text(json.dumps({"results": {"baseline": results(0.25)}}))
    assert main([f"first={one}", f"second={two}"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["first", "second"],
        ["baseline", "EER", "0.2000", "0.2500"],
        ["baseline", "minDCF(0.01)", "0.4000", "0.5000"],
        ["sub", "mean", "EER", "0.3000", "-"],
        ["sub", "mean", "minDCF(0.01)", "0.6000", "-"],
        ["s-norm", "EER", "0.1000", "-"],
        ["s-norm", "minDCF(0.01)", "0.2000", "-"],
    ]


def test_other_json_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match="expected results of eval.py"):
        main([f"a={tmp_path / 'a.json'}"])


@pytest.mark.parametrize("words", [["a.json"], ["a=a.json", "a=b.json"], ["a=a.json", "b.json"]])
def test_systems_without_names_of_their_own_are_wrong_usage(words):
    with pytest.raises(UsageError, match="expected NAME=results.json, each with a different name"):
        main(words)


def test_paths_expand_behind_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUN", "a=b")  # an equals sign in a folder's name
    (tmp_path / "a=b").mkdir()
    (tmp_path / "a=b" / "results.json").write_text(json.dumps({"results": {"baseline": results(0.1)}}))
    assert main(["one=~/a=b/results.json", "two=~/$RUN/results.json"]) == 0
    assert "baseline EER                    0.1000      0.1000" in capsys.readouterr().out
