"""3D-Speaker's models."""

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.speechbrain import ECAPA
from mindvox.deploy.toolkits.toolkit import Toolkit, kaldi_fbank

TOOLKIT = Toolkit((ECAPA, campplus(pooling_eps=0.0)), lambda n_mels: kaldi_fbank(n_mels, "povey", 1.0))
