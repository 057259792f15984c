import pytest

from tests.deploy.toy import encoder, make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("ckpt"))


@pytest.fixture(scope="session")
def trained(checkpoint):
    return encoder(checkpoint)
