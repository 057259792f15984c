import pytest
from mindspore import Tensor

from src.models import load_model
from tests.deploy.toy import make_checkpoint, without_compiling


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("ckpt"))


@pytest.fixture(scope="session")
def trained(checkpoint):
    """The checkpoint's Cell: features (B, T, F) to embeddings."""
    model, _ = load_model(checkpoint)

    def encode(feats):
        with without_compiling():
            return model(Tensor(feats)).asnumpy()

    return encode
