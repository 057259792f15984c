"""FILE.json: what it says, and that nothing else is believed."""

import json

import pytest

from mindvox.engines.exported import ExportedModel, description_path
from mindvox.errors import InputError
from mindvox.frontend.frames import Windows
from mindvox.registry import FRONT_ENDS
from tests.deploy.toy import SETTINGS, save_description
from tests.engines.described import MODEL


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"model")
    return save_description(tmp_path / "a.onnx", MODEL)


def alter(path, **changes):
    content = json.loads(description_path(path).read_text())
    content.update(changes)
    description_path(path).write_text(json.dumps({key: value for key, value in content.items() if value != "gone"}))


def test_description_survives_the_disk(path):
    read = ExportedModel.read(path)
    assert (read.num_frames, read.front_end, read.model) == (301, MODEL.front_end, SETTINGS)


def test_description_lists_inputs_and_outputs(path):
    content = json.loads(description_path(path).read_text())
    assert content["format_version"] == 3
    assert content["inputs"] == [{"name": "feats", "shape": [None, 301, 16], "dtype": "float32"}]
    assert content["outputs"] == [{"name": "embedding", "shape": [None, 6], "dtype": "float32"}]


def test_waveform_of_301_frames_has_3_seconds(path):
    save_description(path, MODEL, input_kind="waveform", further_outputs={"attention": 48}, batch_size=4)
    read = ExportedModel.read(path)
    assert read.inputs == [{"name": "waveform", "shape": [4, 48000], "dtype": "float32"}]
    assert read.outputs[1] == {"name": "attention", "shape": [4, 301, 48], "dtype": "float32"}
    assert read.min_length == 8 * 160


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in FRONT_ENDS),
        ("mel_spectrogram", {"padding": "zero", "preemphasis": 0.97}),
        ("mel_spectrogram", {"raise_level_db": -30.0, "zeros_after_ms": 10.0}),
        ("kaldi_fbank", {"win_length_ms": 5.0}),  # shorter than the hop
    ],
)
def test_framing_says_how_many_frames_a_waveform_has(path, name, settings):
    front_end = FRONT_ENDS.get(name)(**settings)
    save_description(path, MODEL, input_kind="waveform", front_end=front_end.to_dict())
    framing = json.loads(description_path(path).read_text())["framing"]
    for num_samples in range(1, 1200):
        is_long = num_samples >= framing["least"]
        num_frames = 1 + (num_samples - framing["first"]) // framing["hop"] if is_long else 0
        assert num_frames == front_end.num_frames(num_samples), num_samples
    for num_frames in range(1, 20):
        expected = max(framing["least"], framing["first"] + (num_frames - 1) * framing["hop"])
        assert expected == front_end.num_samples(num_frames)
    assert framing["prepares"] == front_end.prepares
    assert json.loads(description_path(save_description(path, MODEL)).read_text())["framing"] is None


def test_older_descriptions_have_no_framing_and_another_one_is_refused(path):
    save_description(path, MODEL, input_kind="waveform")
    alter(path, framing="gone")
    assert ExportedModel.read(path).framing["hop"] == 160
    alter(path, framing={"least": 1, "first": 0, "hop": 80, "prepares": False})
    with pytest.raises(InputError, match="framing do not fit the sizes beside them"):
        ExportedModel.read(path)


def test_further_outputs_follow_in_the_order_of_the_alphabet(path):
    save_description(path, MODEL, further_outputs={"weights": 3, "frames": 5})
    read = ExportedModel.read(path)
    assert [output["name"] for output in read.outputs] == ["embedding", "frames", "weights"]


def old_description(attention_size=None, **changes):
    """What version 2 said of MODEL."""
    shape = [None, 301, attention_size]
    attention = [] if attention_size is None else [{"name": "attention", "shape": shape, "dtype": "float32"}]
    sizes = {"num_mels": 16, "attention_size": attention_size, "input_kind": "fbank", "format_version": 2}
    outputs = [*MODEL.outputs, *attention]
    return {"feature_size": "gone", "further_outputs": "gone", "outputs": outputs, **sizes, **changes}


@pytest.mark.parametrize(("attention_size", "further"), [(None, {}), (48, {"attention": 48})])
def test_version_2_is_read_in_the_words_of_version_3(path, attention_size, further):
    alter(path, **old_description(attention_size))
    read = ExportedModel.read(path)
    assert (read.feature_size, read.input_kind, read.further_outputs) == (16, "features", further)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_mels": "gone"}, "lacks feature_size"),
        ({"attention_size": "x"}, "impossible values: further_outputs"),
        ({"input_kind": "mfcc"}, "impossible values: input_kind 'mfcc'"),
    ],
)
def test_damaged_version_2_is_refused(path, changes, said):
    alter(path, **old_description(**changes))
    with pytest.raises(InputError, match=said):
        ExportedModel.read(path)


@pytest.mark.parametrize(("attention_size", "said"), [("null", None), ("48", "further_outputs")])
def test_metadata_of_version_2_inside_a_file_is_compared_in_the_words_of_version_3(attention_size, said):
    found = MODEL.metadata()
    found = {key: value for key, value in found.items() if key not in ("feature_size", "further_outputs")}
    found |= {"format_version": "2", "num_mels": "16", "attention_size": attention_size, "input_kind": "fbank"}
    if said is None:
        MODEL.check_metadata(found, "a.onnx")
    else:
        with pytest.raises(InputError, match=f"differ in {said}"):
            MODEL.check_metadata(found, "a.onnx")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 1}, "expected the description of an exported model, format 2 or 3"),
        ({"input_kind": "gone"}, "lacks input_kind"),
        ({"inputs": "gone"}, "lacks inputs"),
        ({"feature_size": 80}, "inputs do not fit the sizes beside them"),
        ({"emb_size": 7}, "outputs do not fit"),
        ({"batch_size": -1}, "impossible values: batch_size -1"),
        ({"num_frames": "301"}, "impossible values: num_frames '301'"),
        ({"feature_size": True}, "impossible values: feature_size True"),
        ({"further_outputs": {"attention": 0}}, "impossible values: further_outputs"),
        ({"further_outputs": {"embedding": 6}}, "impossible values: further_outputs"),
        ({"further_outputs": None}, "impossible values: further_outputs None"),
        ({"file_format": "OM"}, "impossible values: file_format 'OM'"),
        ({"input_kind": "mfcc"}, "impossible values: input_kind 'mfcc'"),
        ({"front_end": []}, "impossible values: front_end"),
        ({"weights_sha256": "0"}, "impossible values: weights_sha256"),
        ({"input_kind": "waveform", "front_end": {"type": "plp"}}, "expected a front end of type"),
        ({"file_sha256": "0"}, "sha256 differs"),
    ],
)
def test_altered_description_is_refused(path, changes, said):
    alter(path, **changes)
    with pytest.raises(InputError, match=said):
        ExportedModel.read(path)


def test_description_that_is_no_object_is_refused(path):
    for text in ("[]", "{", "\xff"):
        description_path(path).write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"a\.onnx\.json(:1)?: expected"):
            ExportedModel.read(path)


def test_altered_model_is_refused(path):
    with open(path, "ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match="sha256 differs"):
        ExportedModel.read(path)


def test_missing_model_or_description_is_named(path):
    with pytest.raises(InputError, match=r"b\.onnx: no such model"):
        ExportedModel.read(path.with_name("b.onnx"))
    description_path(path).unlink()
    with pytest.raises(InputError, match=r"a\.onnx\.json: no such file"):
        ExportedModel.read(path)


WINDOWS = Windows(301, 200, "padded", 0.75)


def test_windows_survive_the_disk_and_stand_in_the_metadata(path):
    assert ExportedModel.read(path).windows is None and ExportedModel.read(path).cut_frames == 301
    plain = ExportedModel.read(path)
    save_description(path, MODEL, windows=WINDOWS)
    read = ExportedModel.read(path)
    assert read.windows == WINDOWS and read.cut_frames is None
    read.check_metadata(read.metadata(), path)
    plain.check_metadata(plain.metadata(), path)
    for one, other in ((read, plain), (plain, read)):  # a file of before windows has no such metadata
        with pytest.raises(InputError, match="differ in windows"):
            one.check_metadata(other.metadata(), path)


@pytest.mark.parametrize("windows", [{"num_frames": 301}, {"num_frames": 301, "step": 0}, {"some": 1}, 301, "all"])
def test_impossible_windows_are_named(path, windows):
    alter(path, windows=windows)
    with pytest.raises(InputError, match="impossible values: windows"):
        ExportedModel.read(path)


def test_windows_of_another_length_than_the_input_are_refused(path):
    save_description(path, MODEL, windows=Windows(300, 200))
    with pytest.raises(InputError, match="impossible values: windows"):
        ExportedModel.read(path)


def test_transposed_input_stands_in_the_description(path):
    save_description(path, MODEL, input_layout="BFT", batch_size=4)
    read = ExportedModel.read(path)
    assert read.inputs == [{"name": "feats", "shape": [4, 16, 301], "dtype": "float32"}]
    assert read.metadata()["input_layout"] == "BFT"


def test_description_without_a_layout_is_of_frames_first_and_fits_the_metadata_of_its_time(path):
    alter(path, input_layout="gone")
    read = ExportedModel.read(path)
    assert read.input_layout == "BTF"
    found = {key: value for key, value in read.metadata().items() if key != "input_layout"}
    read.check_metadata(found, "m.onnx")
    with pytest.raises(InputError, match="differ in input_layout"):
        read.check_metadata({**found, "input_layout": "BFT"}, "m.onnx")


@pytest.mark.parametrize("changes", [{"input_layout": "TBF"}, {"input_layout": "BFT", "input_kind": "waveform"}])
def test_impossible_layouts_are_refused(path, changes):
    alter(path, **changes)
    with pytest.raises(InputError, match="impossible values: input_layout"):
        ExportedModel.read(path)
