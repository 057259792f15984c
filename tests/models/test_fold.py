"""Folding of batch norms: the same numbers without them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindvox.errors import InputError
from mindvox.layers.activation import tanh
from mindvox.layers.building import building_for
from mindvox.models import load_model, section_of
from mindvox.models.checkpoint import read_checkpoint, write_checkpoint
from mindvox.models.fold import fold_ecapa
from mindvox.models.folded_cell import FoldedEcapaCell
from tests.deploy.toy import SETTINGS, encoder, make_checkpoint, random_feats, relative, without_compiling

BOUND = 2e-6  # float32 sums in another order


class Attention(nn.Cell):
    """What the trained model's pooling computes on the way: the weights of the frames."""

    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, feats):
        x = self.model.blocks[0](feats.swapaxes(1, 2))
        outputs = []
        for block in self.model.blocks[1:]:
            x = block(x)
            outputs.append(x)
        x = self.model.mfa(ops.cat(outputs, axis=1))
        asp = self.model.asp
        mean = x.mean(axis=2, keep_dims=True)
        deviation = ops.sqrt(ops.maximum(ops.square(x - mean).mean(axis=2, keep_dims=True), 1e-12))
        energy = asp.conv(tanh(asp.tdnn(x, ops.cat((mean, deviation), axis=1))))
        return ops.softmax(energy, axis=2).swapaxes(1, 2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("ckpt"))


@pytest.fixture(scope="module")
def trained(checkpoint):
    return encoder(checkpoint)


@pytest.fixture(scope="module")
def folded(checkpoint):
    arrays, meta = read_checkpoint(checkpoint)
    return fold_ecapa(arrays, section_of(meta["model"], "a.ckpt").options)


def test_folded_cell_gives_the_trained_embeddings_and_attention(checkpoint, folded, trained):
    feats = random_feats(2, 40)
    with without_compiling():
        embedding, attention = FoldedEcapaCell(folded, with_attention=True).set_train(False)(Tensor(feats))
        expected = Attention(load_model(checkpoint)[0]).set_train(False)(Tensor(feats)).asnumpy()
    assert relative(embedding.asnumpy(), trained(feats)) <= BOUND
    assert attention.shape == (2, 40, 3 * SETTINGS["channels"])
    np.testing.assert_allclose(attention.asnumpy(), expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(attention.asnumpy().sum(axis=1), 1, rtol=1e-5)


def test_ascends_form_without_global_context_gives_the_trained_embeddings(tmp_path):
    checkpoint = make_checkpoint(tmp_path, global_context=False)
    model, meta = load_model(checkpoint)
    folded = fold_ecapa(read_checkpoint(checkpoint)[0], section_of(meta["model"], checkpoint).options)
    with building_for("Ascend"):
        cell = FoldedEcapaCell(folded).set_train(False)
    feats = Tensor(random_feats(1, 9))
    with without_compiling():
        assert relative(cell(feats).asnumpy(), model(feats).asnumpy()) <= BOUND


def test_no_batch_norm_is_left(folded):
    cell = FoldedEcapaCell(folded)
    assert not any(isinstance(part, nn.BatchNorm1d) for _, part in cell.cells_and_names())
    assert not any("moving" in parameter.name for parameter in cell.get_parameters())


def test_positive_scales_leave_no_signs(checkpoint):
    arrays, meta = read_checkpoint(checkpoint)
    arrays = {name: np.abs(value) if name.endswith("gamma") else value for name, value in arrays.items()}
    cell = FoldedEcapaCell(fold_ecapa(arrays, section_of(meta["model"], "a.ckpt").options))
    assert cell.stem_sign is None
    assert all(block.gate_sign is None and not any(m is not None for m in block.mix) for block in cell.blocks)


def test_folding_is_done_in_double_precision_and_stored_in_single(folded):
    arrays = [folded.mfa.weight, folded.blocks[0].shift, folded.fc.bias, folded.context]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert ms.float32 == FoldedEcapaCell(folded).fc.weight.dtype


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("model.mfa.conv.weight", None, "model.mfa.conv.weight is missing"),
        ("model.asp.more", np.zeros(3), "model.asp.more is not in the model"),
        ("model.fc.bias", np.zeros(3), r"model.fc.bias is \(3,\), expected"),
    ],
)
def test_weights_that_do_not_fit_are_refused_as_those_of_the_plain_model(checkpoint, tmp_path, name, array, said):
    arrays, meta = read_checkpoint(checkpoint)
    arrays = {key: value for key, value in arrays.items() if key != name}
    if array is not None:
        arrays[name] = array.astype(np.float32)
    parameters = {key: Parameter(Tensor(value), name=key) for key, value in arrays.items()}
    write_checkpoint(tmp_path / "a.ckpt", parameters, meta)
    for fold in (False, True):
        with pytest.raises(InputError, match=f"a.ckpt: the weights do not fit the model: {said}"):
            load_model(tmp_path / "a.ckpt", fold=fold)
