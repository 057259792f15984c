"""Any network as ONNX: the numbers of the framework, in each runtime, and the form of the graph."""

import mindspore as ms
import numpy as np
import onnx
import onnxruntime
import pytest
from mindspore import Tensor

from mindvox.deploy.mindir import parse_mindir, read_mindir
from mindvox.deploy.mindir_to_onnx import OPERATORS, mindir_to_onnx
from mindvox.deploy.old_mindir import lower_mindir
from mindvox.engines.exported import ExportedModel
from mindvox.errors import InputError
from mindvox.frontend.frames import subtract_mean
from mindvox.layers.building import building_for
from tests.deploy import networks
from tests.deploy.toy import FRONT_END, relative, without_compiling, write_toy

BOUND = 5e-6  # float32 sums in another order; measured: 1e-6
DIMS = {"ResNet": 8, "Padded": 4, "Numbers": 4, "Shapes": 4}
SIZES = ((1, 21), (3, 50))


def export(network, shape, path):
    free = None in shape
    example = Tensor(shape=shape, dtype=ms.float32) if free else Tensor(np.zeros(shape, np.float32))
    ms.export(network, example, file_name=str(path), file_format="MINDIR")
    path.chmod(0o600)
    return path


def random_weights(network):
    rng = np.random.default_rng(0)
    for parameter in network.get_parameters():
        spread = 0.3 if parameter.name.endswith(("weight", "beta", "moving_mean")) or "lstm" in parameter.name else 0.0
        values = rng.normal(0 if spread else 1, spread or 0.2, parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network.set_train(False)


def inputs_of(rng, dim, size, frames):
    return rng.standard_normal((size, frames, dim)).astype(np.float32)


def results(network, feats):
    with without_compiling():
        outputs = network(Tensor(feats))
    return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def described(network, shape):
    """Return inputs and outputs as an exported model describes them, from what two different sizes give."""
    outputs = [results(network, np.ones((size, frames, shape[2]), np.float32)) for size, frames in ((2, 24), (3, 41))]
    shapes = [
        [a if a == b or None not in shape else None for a, b in zip(first.shape, second.shape, strict=True)]
        for first, second in zip(*outputs, strict=True)
    ]
    names = ["embedding", *(f"further_{index}" for index in range(1, len(shapes)))]
    return (
        [{"name": "feats", "shape": list(shape)}],
        [{"name": name, "shape": found} for name, found in zip(names, shapes, strict=True)],
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Network, description and MINDIR of free sizes by class and form."""
    folder = tmp_path_factory.mktemp("mindir")
    found = {}
    for name, dim in DIMS.items():
        for device in ("Ascend", "CPU") if name in ("ResNet", "Padded") else ("CPU",):
            np.random.seed(0)
            with building_for(device):
                network = random_weights(getattr(networks, name)())
            path = export(network, [None, None, dim], folder / f"{name}_{device}.mindir")
            found[name, device] = network, described(network, [None, None, dim]), path
    return found


@pytest.fixture(scope="module")
def converted(exported):
    """Their ONNX."""
    return {key: mindir_to_onnx(path, *tensors, {}, min_length=9) for key, (_, tensors, path) in exported.items()}


def run(model, feats):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"feats": feats})


def run_openvino(model, feats):
    openvino = pytest.importorskip("openvino", reason="needs the extra onnx")
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    outputs = compiled(feats)
    return [outputs[output.name] for output in model.graph.output]


@pytest.mark.parametrize("library", [run, run_openvino], ids=["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", DIMS)
def test_every_output_of_any_batch_and_length_is_the_frameworks(exported, converted, name, library):
    rng = np.random.default_rng(0)
    for key in (key for key in exported if key[0] == name):
        for size, frames in SIZES:
            feats = inputs_of(rng, DIMS[name], size, frames)
            outputs = library(converted[key], feats)
            for index, (got, expected) in enumerate(zip(outputs, results(exported[key][0], feats), strict=True)):
                assert got.shape == expected.shape
                assert relative(got, expected) <= BOUND, (key, index, frames)


@pytest.mark.parametrize("name", ["ResNet", "Shapes"])
def test_a_network_of_fixed_sizes_takes_them_alone(exported, tmp_path, name):
    network = exported[name, "CPU"][0]
    shape = [2, 24, DIMS[name]]
    model = mindir_to_onnx(export(network, shape, tmp_path / "m.mindir"), *described(network, shape), {})
    (value,) = model.graph.input
    assert [size.dim_value for size in value.type.tensor_type.shape.dim] == shape
    assert not {"Shape", "Size"} & operators(model)
    feats = inputs_of(np.random.default_rng(1), DIMS[name], 2, 24)
    for got, expected in zip(run(model, feats), results(network, feats), strict=True):
        assert relative(got, expected) <= BOUND


@pytest.fixture(scope="module")
def waveform_mindir(checkpoint, tmp_path_factory):
    """A model behind its front end, in the form of a CPU."""
    path = tmp_path_factory.mktemp("waveform") / "m.mindir"
    return write_toy(checkpoint, path, "--input=waveform", "--length=0", "--batch_size=0")


def test_a_waveform_model_in_the_form_of_a_cpu_has_its_embeddings(waveform_mindir, trained):
    description = ExportedModel.read(waveform_mindir)
    tensors = description.inputs, description.outputs
    model = mindir_to_onnx(waveform_mindir, *tensors, {}, min_length=description.min_length)
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, 4001), np.float32)
    feats = subtract_mean(np.stack([FRONT_END(waveform) for waveform in waveforms]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"waveform": waveforms})
    assert relative(got, trained(feats)) <= 1e-4  # features are up to 3e-3 dB off in a few bins


def test_every_operator_of_the_table_is_tried(exported, waveform_mindir):
    files = [*(path for _, _, path in exported.values()), waveform_mindir]
    seen = {operation.operator for path in files for operation in read_mindir(path).operations}
    assert set(OPERATORS) - seen == set()


def test_convolutions_over_time_are_written_as_runtimes_compute_them_fast(converted):
    model = converted["Padded", "Ascend"]
    assert operators(model) == {"Transpose", "Pad", "Conv", "Relu", "Add", "Tanh"}
    attributes = [{field.name: field for field in node.attribute} for node in nodes(model, "Conv")]
    assert all(list(found["strides"].ints) == [1] for found in attributes)  # one axis, and the stride is written
    assert sorted(tuple(found["pads"].ints) for found in attributes) == [(0, 0)] * 3 + [(1, 1)]
    (pad,) = nodes(model, "Pad")
    assert pad.attribute[0].s == b"reflect"
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    assert sorted(weights[node.input[1]] for node in nodes(model, "Conv")) == [
        (4, 256, 1), (4, 256, 1), (256, 4, 3), (256, 4, 5)
    ]  # fmt: skip
    assert [len(node.input) for node in nodes(model, "Conv")].count(3) == 2  # biases are inside


def test_batch_norms_and_biases_behind_convolutions_are_folded(converted):
    model = converted["ResNet", "Ascend"]
    assert len(nodes(model, "BatchNormalization")) == 1  # the one of the statistics
    assert len(nodes(model, "Conv")) == 7
    assert all(len(node.input) == 3 for node in nodes(model, "Conv"))
    strides = [field.ints for node in nodes(model, "Conv") for field in node.attribute if field.name == "strides"]
    assert {tuple(entries) for entries in strides} == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_graphs_have_no_dead_nodes_and_hold_every_constant_once(converted):
    for model in converted.values():
        used = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
        assert {name for node in model.graph.node if len(node.output) == 1 for name in node.output} <= used
        constants = [(tuple(t.dims), t.data_type, t.raw_data) for t in model.graph.initializer]
        assert {tensor.name for tensor in model.graph.initializer} <= used and len(set(constants)) == len(constants)


def test_names_and_bytes_depend_on_the_network_alone(exported, tmp_path):
    network, tensors, path = exported["Padded", "Ascend"]
    with building_for("Ascend"):
        twin = networks.Padded().set_train(False)
    for parameter, of_twin in zip(network.get_parameters(), twin.get_parameters(), strict=True):
        of_twin.set_data(parameter)
    again = export(twin, [None, None, 4], tmp_path / "again.mindir")
    assert again.read_bytes() != path.read_bytes()  # MindSpore counts its graphs and nodes
    first, second = (
        mindir_to_onnx(file, *tensors, {"a": "b"}).SerializeToString(deterministic=True) for file in (path, again)
    )
    assert first == second
    names = {tensor.name for tensor in onnx.load_from_string(first).graph.initializer}
    assert {"mirrored.weight", "mirrored.bias", "zeros.weight"} <= names


def test_older_form_of_mindir_is_converted_to_the_same_numbers(exported, tmp_path):
    network, tensors, path = exported["Padded", "Ascend"]
    old = tmp_path / "old.mindir"
    old.write_bytes(path.read_bytes())
    lower_mindir(old)
    feats = inputs_of(np.random.default_rng(2), 4, 2, 30)
    (got,) = run(mindir_to_onnx(old, *tensors, {}), feats)
    assert relative(got, results(network, feats)[0]) <= BOUND


def test_another_version_of_mindspore_is_named(exported, tmp_path):
    _, tensors, path = exported["Padded", "CPU"]
    model = parse_mindir(path)
    model.model_version = "2.11.0"
    changed = tmp_path / "m.mindir"
    changed.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m\.mindir: MindSpore 2\.11\.0 wrote it; expected 2\.10"):
        mindir_to_onnx(changed, *tensors, {})


def test_an_operator_that_is_not_known_is_named_with_its_layer(exported, tmp_path):
    _, tensors, path = exported["ResNet", "CPU"]
    model = parse_mindir(path)
    for primitive in model.primitives:
        if primitive.op_type == "BatchNorm":
            primitive.op_type = "GroupNormSwish"
    changed = tmp_path / "m.mindir"
    changed.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"does not know GroupNormSwish \(node \S+ in block1\.norm1\)"):
        mindir_to_onnx(changed, *tensors, {})


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([None, None, 5], [None, 4, None], r"feats has the shape .*, expected \[None, None, 5\]"),
        ([None, None, 4], [None, 5, None], r"embedding has the shape \[None, 4, None\], expected \[None, 5, None\]"),
    ],
)
def test_other_inputs_and_outputs_than_described_are_refused(exported, inputs, outputs, said):
    tensors = [{"name": "feats", "shape": inputs}], [{"name": "embedding", "shape": outputs}]
    with pytest.raises(InputError, match=said):
        mindir_to_onnx(exported["Padded", "CPU"][2], *tensors, {})


def test_a_file_that_is_cut_off_is_refused(exported, tmp_path):
    _, tensors, path = exported["Shapes", "CPU"]
    content, cut = path.read_bytes(), tmp_path / "cut.mindir"
    for size in np.linspace(0, len(content) - 1, 40).astype(int):
        cut.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.mindir: "):
            mindir_to_onnx(cut, *tensors, {})


def mutate(content, rng):
    """Return bytes of which some were changed, removed, repeated or exchanged."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        first, second = sorted(rng.integers(0, len(changed), 2))
        kind = rng.integers(6)
        if kind < 3:
            changed[first] ^= 1 << rng.integers(8)
        elif kind == 3:
            changed[first] = rng.integers(256)
        elif kind == 4:
            del changed[first : min(second, first + 8)]
        else:
            changed[first:first] = changed[second : second + 8]
    return bytes(changed)


def convert_mutations(exported, folder, count):
    """Convert changed files, and return how many of them were accepted."""
    rng, accepted = np.random.default_rng(0), 0
    for name in ("Shapes", "Numbers"):
        _, tensors, path = exported[name, "CPU"]
        content, changed = path.read_bytes(), folder / "m.mindir"
        for _ in range(count):
            changed.write_bytes(mutate(content, rng))
            try:
                onnx.checker.check_model(mindir_to_onnx(changed, *tensors, {}))
                accepted += 1
            except InputError:
                pass
    return accepted


def test_a_changed_file_is_refused_or_still_a_valid_graph(exported, tmp_path):
    accepted = convert_mutations(exported, tmp_path, 100)
    assert 5 < accepted < 195  # both happen: a number or a name may be another one


@pytest.mark.slow
def test_many_changed_files_are_refused_or_still_valid_graphs(exported, tmp_path):
    convert_mutations(exported, tmp_path, 3000)


def operators(model):
    return {node.op_type for node in model.graph.node}


def nodes(model, operator):
    return [node for node in model.graph.node if node.op_type == operator]
