"""Running a MINDIR through MindSpore's Python API, where no MindSpore Lite is installed."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from src.deploy.exported import ExportedModel
from src.errors import InputError
from src.files import PathLike
from src.scoring.embeddings import Encode, fill_batches


def load_engine(model_file: PathLike) -> tuple[Encode, ExportedModel]:
    """Load an exported model.

    Returns:
        A function from mean-subtracted features (B, T, F) to embeddings (B, D), and the model's description.

    Raises:
        InputError: the model or its description is missing or damaged.
    """
    exported = ExportedModel.read(model_file)
    try:
        cell = nn.GraphCell(ms.load(str(model_file)))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{model_file}: not a whole MINDIR ({str(error).splitlines()[0]}).") from None
    # Else MindSpore would compile a dynamic graph anew for every length, 300 MB each (2.10).
    cell.set_inputs(Tensor(shape=[exported.batch_size, exported.num_frames, exported.num_mels], dtype=ms.float32))

    def encode(feats: np.ndarray) -> np.ndarray:
        return cell(Tensor(feats)).asnumpy()

    return (fill_batches(encode, exported.batch_size) if exported.batch_size else encode), exported
