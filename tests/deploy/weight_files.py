"""Files of weights as other toolkits write them."""

import json
import struct
from pathlib import Path

import numpy as np


def write_safetensors(path: Path, state: dict[str, np.ndarray]) -> Path:
    entries, body = {}, b""
    for name, array in state.items():
        offsets = [len(body), len(body) + array.nbytes]
        entries[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        body += array.tobytes()
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)
    return path
