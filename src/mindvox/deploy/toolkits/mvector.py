"""Models of mvector (VoiceprintRecognition-Pytorch), with the features of its configurations for Fbank."""

from mindvox.deploy.toolkits.campplus import campplus
from mindvox.deploy.toolkits.eres2net import ERES2NET, ERES2NETV2
from mindvox.deploy.toolkits.speechbrain import ECAPA
from mindvox.deploy.toolkits.toolkit import Toolkit
from mindvox.frontend.kaldi_fbank import KaldiFbank

TOOLKIT = Toolkit(
    (ECAPA, campplus(pooling_eps=0.0), ERES2NET, ERES2NETV2),
    lambda model: KaldiFbank(n_mels=model["in_channels"], window="povey", waveform_scale=1.0).to_dict(),
    prefix="0.",  # its trainer saves a sequence of model and classifier
    left_out=r"1\..*",
)
