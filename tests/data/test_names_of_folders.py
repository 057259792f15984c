"""Libraries that refuse some names, or might: what the project writes through them, in folders of any name.

tests/deploy/test_old_mindir.py has exports, whose names MindSpore restricts, and checkpoints. Second variants: stores
in MindRecord, whose writer refuses names of files, and event files.
"""

import numpy as np
import pytest

from mindvox.data.train_store import TrainStoreWriter
from mindvox.frontend.fbank import Fbank
from mindvox.training.tensorboard import EventFile
from tests.stores import read_records

NAMES = ("my exp+aug", "模型 50%", "a:b'c\"[d]")


@pytest.mark.parametrize("name", NAMES)
def test_a_training_store_is_written_and_read(tmp_path, name):
    front_end = Fbank(n_mels=4).to_dict()
    with TrainStoreWriter(tmp_path / name, front_end, {"s": 0}) as writer:
        writer.add("s/u", 0, np.ones((20, 4), np.float32))
    (record,) = read_records(tmp_path / name)
    assert record.utt_id == "s/u" and record.feats.shape == (20, 4)


@pytest.mark.parametrize("name", NAMES)
def test_event_files_are_written(tmp_path, name, capsys):
    events = EventFile(tmp_path / name, 0)
    events.add(1, {"loss": 1.0})
    events.close()
    assert list((tmp_path / name).iterdir()) and not capsys.readouterr().err
