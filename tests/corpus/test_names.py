"""One utterance has one name, however it is spelled. Second variants: Windows paths, NFD, two corpora in one list."""

import json
from pathlib import Path

import pytest

from mindvox.corpus.names import Names, utterance_name
from mindvox.errors import InputError

CASES = json.loads(Path(__file__).parents[1].joinpath("names_cases.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["spellings"][-1])
def test_the_table_of_cases(case):
    names = Names(case.get("known", ()))
    *earlier, last = case["spellings"]
    found = [names(spelling) for spelling in earlier]
    if case["names"] is None:
        with pytest.raises(InputError, match="list:7: "):
            names(last, "list:7")
    else:
        assert [*found, names(last, "list:7")] == case["names"]


def test_two_spellings_in_one_store_are_refused():
    with pytest.raises(InputError, match="two spellings of one utterance"):
        Names(["spk/zo\u00eb.wav", "spk/zoe\u0308.wav"])


def test_a_name_is_its_own_name():
    for case in CASES:
        for name in case["names"] or ():
            assert utterance_name(utterance_name(name)) == utterance_name(name)
