"""Every network of the reference vectors: ours gives the numbers of its own code.

A network is a line here. Tiny ones lie in tests/vectors/stored; full ones are read from ../shared.
"""

import mindspore as ms
import pytest
from mindspore import Tensor

from tests.deploy.toy import without_compiling
from tests.vectors.networks import Network, check_attention, check_embeddings, check_gradients, check_training

SLOW = pytest.mark.slow
TINY = [  # compiled and with gradients in --all
    "3d_campplus_tiny",
    "3d_eres2net_tiny",
    "3d_eres2netv2_tiny",
    "3d_xvector_tiny",
    "jv_ecapa_tiny",
    "ma_ecapa_tiny",
    "mv_ecapa_sap_tiny",
    "mv_res2net_tsp_tiny",
    "mv_resnetse_tap_tiny",
    "mv_tdnn_asp_tiny",
    "rn_rawnet2_original_tiny",
    "rn_rawnet2_tiny",
    "rs_ge2e_tiny",
    "vt_resnetse34l_asp_tiny",
    "vt_resnetse34v2_asp_tiny",
    "ws_ecapa_tiny",
    "ws_redimnet2_b0_tiny",
    "ws_resnet_bottleneck_two_emb_tiny",
    "ws_resnet_tiny",
    "ws_simam_resnet_tiny",
]
TINY_LATER = [  # networks of TINY with other poolings, with --all
    "mv_ecapa_asp_tiny",
    "mv_ecapa_tap_tiny",
    "mv_ecapa_tsp_tiny",
    "mv_res2net_sap_tiny",
    "mv_res2net_scale4_tiny",
    "mv_res2net_tap_tiny",
    "mv_resnetse_sap_tiny",
    "mv_resnetse_tsp_tiny",
    "mv_tdnn_sap_tiny",
    "mv_tdnn_tap_tiny",
    "mv_tdnn_tsp_tiny",
    "vt_resnetse34l_sap_tiny",
    "vt_resnetse34v2_sap_tiny",
    "ws_campplus_tiny",
    "ws_resnet_astp_tiny",
    "ws_resnet_tap_tiny",
]
EVALUATED = ["ws_redimnet2_b4_tiny", "ws_redimnet2_b6_tiny"]
FULL = ["3d_campplus"]
FULL_LATER = ["3d_campplus_192", "3d_res2net", "3d_ecapa_c1024", "mv_campplus", "ws_campplus"]  # with --all
FULL_LATER += ["3d_eres2net_base", "3d_eres2net_huge", "3d_eres2net_large", "3d_xvector"]
FULL_LATER += ["3d_eres2netv2", "3d_eres2netv2_w24s4ep4", "mv_eres2net", "mv_eres2netv2"]
FULL_LATER += ["mv_ecapa", "mv_res2net", "mv_resnetse", "mv_tdnn", "rn_rawnet2", "rn_rawnet2_original"]
FULL_LATER += ["vt_resnetse34l_asp", "vt_resnetse34l_sap", "vt_resnetse34l_sap_nolog"]
FULL_LATER += ["vt_resnetse34v2_asp", "vt_resnetse34v2_sap"]
FULL_LATER += ["vt_vggvox40_max", "vt_vggvox40_sap", "vt_vggvox40_tap"]
FULL_LATER += ["3d_resnet34", "ws_resnet34", "ws_simam_resnet34", "ws_ecapa_c1024_glob", "ws_ecapa_c512_glob"]
ALL = [*TINY, *EVALUATED, *FULL, *(pytest.param(name, marks=SLOW) for name in (*TINY_LATER, *FULL_LATER))]
# Of full size, those are trained whose model none of TINY has; the embeddings prove the sizes of the others.
FULL_TRAINED = ["3d_res2net", "vt_vggvox40_sap"]
TRAINED = [*TINY, *(pytest.param(name, marks=SLOW) for name in (*TINY_LATER, *FULL_TRAINED))]


@pytest.mark.parametrize("name", ALL)
def test_embeddings_equal_the_toolkits(name):
    network = Network(name)
    model = network.model()
    own = sum(parameter.size for parameter in model.trainable_params())
    assert own + network.num_left_out == network.meta["params"]
    with without_compiling():  # of TINY, the compiled graph takes the other lengths, with --all
        check_embeddings(network, model, every_length=name not in (*TINY, *FULL))


@pytest.mark.parametrize("name", TRAINED)
def test_training_outputs_and_statistics_equal_the_toolkits(name):
    check_training(Network(name))


@SLOW  # by default tests/test_registry.py compares the forms of every model; all poolings: tests/layers
@pytest.mark.parametrize("name", TINY)
def test_form_for_ascend_equals_the_toolkits(name):
    network = Network(name)
    with without_compiling():
        check_embeddings(network, network.model("Ascend"))


@pytest.mark.parametrize("name", ["jv_ecapa_tiny", "ma_ecapa_tiny"])
def test_weights_of_the_frames_equal_the_toolkits(name):
    network = Network(name)
    with without_compiling():
        check_attention(network, network.model())


# Graphs of the poolings of TINY_LATER, and their gradients: tests/layers.


@SLOW
@pytest.mark.parametrize("name", TINY)
def test_one_compiled_graph_serves_every_length(name):
    network = Network(name)
    model = network.model()
    model.set_inputs(Tensor(shape=[None, None, network.feats("xtrain").shape[2]], dtype=ms.float32))
    check_embeddings(network, model)


@SLOW
@pytest.mark.parametrize("name", TINY)
def test_gradients_of_three_executions_equal_the_toolkits(name):
    check_gradients(Network(name))
