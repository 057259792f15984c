"""ECAPA-TDNN with folded batch norms as a Cell, for evaluation and for MINDIR and AIR."""

from typing import Union

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindvox.layers.activation import tanh
from mindvox.layers.building import building_form
from mindvox.layers.conv import Conv1d, add_bias, project
from mindvox.layers.over_time import for_each_frame, mean_over_time
from mindvox.layers.pooling.asp import EPS
from mindvox.layers.pooling.statistics import biased_statistics, weighted_statistics
from mindvox.models.ecapa_tdnn import DILATIONS, SCALE
from mindvox.models.fold import Conv, FoldedEcapa, FoldedSERes2


class FoldedSERes2Cell(nn.Cell):
    """SE-Res2Net block with the weights of a `FoldedSERes2`.

    Inputs:
        - **x** - (B, channels, T).

    Outputs:
        (B, channels, T).
    """

    def __init__(self, folded: FoldedSERes2, dilation: int) -> None:
        super().__init__()
        self.form = building_form()
        self.tdnn1 = conv_cell(folded.tdnn1)
        self.res2 = nn.CellList([conv_cell(conv, dilation) for conv in folded.res2])
        self.mix = [None, *(signs(mix) for mix in folded.mix)]
        self.tdnn2 = conv_cell(folded.tdnn2)
        self.shift = Parameter(Tensor(folded.shift, ms.float32), name="shift")
        self.squeeze = conv_cell(folded.squeeze)
        self.excite = conv_cell(folded.excite)
        self.gate_sign = signs(folded.gate_sign)

    def construct(self, x: Tensor) -> Tensor:
        splits = ops.chunk(ops.relu(self.tdnn1(x)), SCALE, axis=1)
        y = ops.relu(self.res2[0](splits[1]))
        outputs = [splits[0], y]
        for index in range(1, SCALE - 1):
            if self.mix[index] is not None:
                y = y * self.mix[index]
            y = ops.relu(self.res2[index](splits[index + 1] + y))
            outputs.append(y)
        y = add_bias(ops.relu(self.tdnn2(ops.cat(outputs, axis=1))), self.shift)
        gate = ops.sigmoid(self.excite(ops.relu(self.squeeze(mean_over_time(y, self.form)))))
        if self.gate_sign is not None:
            gate = gate * self.gate_sign
        return x + y * for_each_frame(gate, y, self.form)


class FoldedEcapaCell(nn.Cell):
    """ECAPA-TDNN with the weights of a `FoldedEcapa`.

    Args:
        folded: the weights.
        with_attention: also return the weights of the frames.

    Inputs:
        - **feats** - mean-subtracted features, (B, T, F).

    Outputs:
        Embeddings (B, D); with attention a tuple of them and the weights of the frames, (B, T, 3C), with sum 1 over T.
    """

    def __init__(self, folded: FoldedEcapa, with_attention: bool = False) -> None:
        super().__init__()
        self.with_attention = with_attention
        self.form = building_form()
        self.stem = conv_cell(folded.stem)
        self.stem_sign = signs(folded.stem_affine.sign)
        self.stem_shift = Parameter(Tensor(folded.stem_affine.shift, ms.float32), name="stem_shift")
        self.blocks = nn.CellList(
            [FoldedSERes2Cell(block, dilation) for block, dilation in zip(folded.blocks, DILATIONS, strict=True)]
        )
        self.mfa = conv_cell(folded.mfa)
        self.attention = conv_cell(folded.attention)
        self.has_context = folded.context is not None
        if folded.context is not None:
            self.context = Parameter(Tensor(folded.context[..., None]), name="context")
        scale = Tensor(folded.attention_scale.reshape(1, -1, 1), ms.float32)
        self.attention_scale = Parameter(scale, name="attention_scale")
        self.attention_shift = Parameter(Tensor(folded.attention_shift, ms.float32), name="attention_shift")
        self.attention_out = Parameter(Tensor(folded.attention_out[..., None]), name="attention_out")
        self.fc = conv_cell(folded.fc)

    def construct(self, feats: Tensor) -> Union[Tensor, tuple[Tensor, Tensor]]:
        x = ops.relu(self.stem(feats.swapaxes(1, 2)))
        if self.stem_sign is not None:
            x = x * self.stem_sign
        x = add_bias(x, self.stem_shift)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = ops.relu(self.mfa(ops.cat(outputs, axis=1)))
        hidden = self.attention(x)
        if self.has_context:
            context = project(biased_statistics(x, self.form, EPS), self.context)
            hidden = hidden + for_each_frame(context, hidden, self.form)
        hidden = tanh(add_bias(ops.relu(hidden) * self.attention_scale, self.attention_shift))
        weight = ops.softmax(project(hidden, self.attention_out), axis=2)
        embedding = self.fc(weighted_statistics(x, weight, EPS, self.form)).squeeze(2)
        if self.with_attention:
            return embedding, weight.swapaxes(1, 2)
        return embedding


def conv_cell(conv: Conv, dilation: int = 1) -> Conv1d:
    """Return a convolution with these weights."""
    out_channels, in_channels, kernel_size = conv.weight.shape
    cell = Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)
    cell.weight.set_data(Tensor(conv.weight[:, :, None]))
    assert cell.bias is not None, "Conv1d has a bias by default"
    cell.bias.set_data(Tensor(conv.bias))
    return cell


def signs(values: np.ndarray) -> Union[Tensor, None]:
    """Return signs as (1, channels, 1), or None if all are positive and have no effect."""
    return None if np.all(values > 0) else Tensor(values.reshape(1, -1, 1), ms.float32)
