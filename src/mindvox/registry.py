"""Registries of everything that is chosen by name. Adding an entry takes one file and one line here.

A model, an objective, a sampler, a schedule and a front end each have a dataclass `Options` of `option()` fields,
which are passed as keyword arguments.

- A model turns feats (B, T, F) into embeddings (B, D). Its options include `in_channels` (F) and `emb_size` (D).
  `min_frames` is a number or a function of its options. Optional: `checkpoint_prefix`, `further_outputs` with
  `return_further`, `folded` with `is_foldable` (see `EcapaTdnn`), and `windows` (see `RawNet2`).
- A pooling is built from (channels, eps=...) and turns (B, C, T) or (B, C, F, T) into (B, out_channels). It has
  `min_frames` if it needs more than one frame.
- An objective: see `Objective`.
- A sampler: see `Sampler`.
- A schedule: see `Curve`.
- A front end: see `FrontEnd`.
- A toolkit is an object: see `Toolkit`.
"""

import importlib
from collections.abc import Iterator
from typing import Any

from mindvox.errors import InputError, did_you_mean


class Registry:
    """Classes or objects of one kind by name; each is imported on first use.

    Args:
        kind: name of the kind; for classes that a configuration chooses, the name of the section.
        entries: "module:Class" by name.
    """

    def __init__(self, kind: str, **entries: str) -> None:
        self.kind = kind
        self._entries = entries

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def add(self, name: str, entry: str) -> None:
        """Add an entry, "module:Class", under a new name.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name} is already registered, as {self._entries[name]}.")
        self._entries[name] = entry

    def get(self, name: str) -> Any:
        """Return the class or object with this name.

        Raises:
            InputError: the name is unknown.
        """
        if name not in self._entries:
            hint = did_you_mean(str(name), self._entries)
            raise InputError(f"{self.kind}: expected one of {', '.join(self)}, got {name!r}{hint}")
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)


MODELS = Registry(
    "model",
    campplus="mindvox.models.campplus:CamPlusPlus",
    ecapa_joovvhan="mindvox.models.ecapa_310p:JoovvhanEcapa",
    ecapa_tdnn="mindvox.models.ecapa_tdnn:EcapaTdnn",
    eres2net="mindvox.models.eres2net:ERes2Net",
    eres2netv2="mindvox.models.eres2netv2:ERes2NetV2",
    ge2e_lstm="mindvox.models.ge2e_lstm:Ge2eLstm",
    rawnet2="mindvox.models.rawnet2:RawNet2",
    redimnet2="mindvox.models.redimnet2:ReDimNet2",
    res2net="mindvox.models.res2net:Res2Net",
    res2net_3dspeaker="mindvox.models.res2net_3dspeaker:Res2Net3DSpeaker",
    res2netse34="mindvox.models.res2netse34:Res2NetSE34",
    resnet="mindvox.models.resnet:ResNet",
    resnet_se="mindvox.models.resnet_se:ResNetSE",
    resnetse34l="mindvox.models.resnetse34l:ResNetSE34L",
    resnetse34v2="mindvox.models.resnetse34v2:ResNetSE34V2",
    simam_resnet="mindvox.models.simam_resnet:SimAMResNet",
    tdnn="mindvox.models.tdnn:Tdnn",
    vggvox40="mindvox.models.vggvox40:VGGVox40",
    wespeaker_ecapa="mindvox.models.wespeaker_ecapa:WespeakerEcapa",
    xvector="mindvox.models.xvector:XVector",
)
POOLINGS = Registry(
    "pooling",
    asp="mindvox.layers.pooling.asp:AttentiveStatisticsPooling",
    asp_local="mindvox.layers.pooling.asp:LocalAttentiveStatisticsPooling",
    astp="mindvox.layers.pooling.astp:Astp",
    astp_local="mindvox.layers.pooling.astp:LocalAstp",
    channel_asp="mindvox.layers.pooling.channel_attention:ChannelAsp",
    channel_sap="mindvox.layers.pooling.channel_attention:ChannelSap",
    frame_asp="mindvox.layers.pooling.frame_attention:FrameAsp",
    frame_sap="mindvox.layers.pooling.frame_attention:FrameSap",
    max="mindvox.layers.pooling.simple:MaxPooling",
    mhastp="mindvox.layers.pooling.mhastp:MultiHeadAstp",
    sap="mindvox.layers.pooling.sap:SelfAttentivePooling",
    statistics="mindvox.layers.pooling.statistics:StatisticsPooling",
    tap="mindvox.layers.pooling.simple:MeanPooling",
    tsdp="mindvox.layers.pooling.statistics:Tsdp",
    tsp="mindvox.layers.pooling.statistics:Tsp",
    tstp="mindvox.layers.pooling.statistics:Tstp",
)
LOSSES = Registry(
    "loss",
    aam_softmax="mindvox.losses.aam_softmax:AamSoftmax",
    am_softmax="mindvox.losses.am_softmax:AmSoftmax",
    angular_prototypical="mindvox.losses.angular_prototypical:AngularPrototypical",
    arm_softmax="mindvox.losses.arm_softmax:ArmSoftmax",
    ge2e="mindvox.losses.ge2e:Ge2e",
    ham_softmax="mindvox.losses.ham_softmax:HamSoftmax",
    prototypical="mindvox.losses.prototypical:Prototypical",
    softmax="mindvox.losses.softmax:Softmax",
    softmax_prototypical="mindvox.losses.softmax_prototypical:SoftmaxPrototypical",
    sphere="mindvox.losses.sphere:SphereSoftmax",
    sphereface2="mindvox.losses.sphereface2:SphereFace2",
    triplet="mindvox.losses.triplet:Triplet",
    triplet_angular="mindvox.losses.triplet_angular:TripletAngular",
)
SAMPLERS = Registry(
    "sampler",
    balanced="mindvox.data.samplers.balanced:Balanced",
    shuffle="mindvox.data.samplers.shuffle:Shuffle",
    speakers="mindvox.data.samplers.speakers:Speakers",
)
SCHEDULES = Registry(
    "schedule",
    cosine="mindvox.training.schedules.cosine:Cosine",
    cyclic="mindvox.training.schedules.cyclic:Cyclic",
    exponential="mindvox.training.schedules.exponential:Exponential",
    inverse="mindvox.training.schedules.inverse:Inverse",
    step="mindvox.training.schedules.step:Step",
)
TOOLKITS = Registry(
    "toolkit",
    **{"3dspeaker": "mindvox.deploy.toolkits.threed_speaker:TOOLKIT"},
    joovvhan="mindvox.deploy.toolkits.joovvhan:TOOLKIT",
    mindaudio="mindvox.deploy.toolkits.mindaudio:TOOLKIT",
    modelzoo="mindvox.deploy.toolkits.mindaudio:MODEL_ZOO",
    mvector="mindvox.deploy.toolkits.mvector:TOOLKIT",
    rawnet2="mindvox.deploy.toolkits.rawnet2:TOOLKIT",
    resemblyzer="mindvox.deploy.toolkits.resemblyzer:TOOLKIT",
    speechbrain="mindvox.deploy.toolkits.speechbrain:TOOLKIT",
    voxceleb_trainer="mindvox.deploy.toolkits.voxceleb_trainer:TOOLKIT",
    wespeaker="mindvox.deploy.toolkits.wespeaker:TOOLKIT",
)
FRONT_ENDS = Registry(
    "front_end",
    fbank="mindvox.frontend.fbank:Fbank",
    kaldi_fbank="mindvox.frontend.kaldi_fbank:KaldiFbank",
    mel_spectrogram="mindvox.frontend.mel_spectrogram:MelSpectrogram",
    mfcc="mindvox.frontend.mfcc:Mfcc",
    samples="mindvox.frontend.samples:Samples",
    spectrogram="mindvox.frontend.spectrogram:Spectrogram",
)
