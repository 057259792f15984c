"""The description of an exported model."""

from mindvox.engines.exported import ExportedModel
from tests.deploy.toy import FRONT_END, SETTINGS

MODEL = ExportedModel(
    file_format="ONNX",
    input_kind="features",
    batch_size=None,
    num_frames=301,
    min_frames=9,
    feature_size=16,
    emb_size=6,
    further_outputs={},
    precision="float32",
    device_target=None,
    front_end=FRONT_END.to_dict(),
    model=SETTINGS,
    checkpoint_sha256="c",
    file_sha256="",
    weights_sha256=None,
)
