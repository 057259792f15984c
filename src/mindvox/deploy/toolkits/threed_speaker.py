"""3D-Speaker's models."""

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.resnet import resnet
from mindvox.deploy.toolkits.speechbrain import ECAPA
from mindvox.deploy.toolkits.toolkit import Toolkit
from mindvox.frontend.kaldi_fbank import KaldiFbank

TOOLKIT = Toolkit(
    (ECAPA, campplus(pooling_eps=0.0), resnet(statistics_eps=1e-8, attention_eps=1e-10)),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="povey", waveform_scale=1.0).to_dict(),
)
