"""Exports that take waveforms: the front end inside is the checkpoint's, whichever that is."""

import numpy as np
import pytest

import mindvox.deploy.export as export_module
from mindvox.deploy.export import export
from mindvox.engines.engine import load_engine
from mindvox.frontend.kaldi_fbank import KaldiFbank
from tests.deploy.toy import NUM_MELS, config_of, encoder, make_checkpoint, relative

NUM_FRAMES = 60
FRONT_ENDS = {
    "wespeaker": KaldiFbank(n_mels=NUM_MELS, window="hamming", waveform_scale=32768.0),
    "mean_kept": KaldiFbank(n_mels=NUM_MELS, subtract_mean=False),
}
FREE, FIXED = ("--batch_size=0", "--length=0"), ("--mindir_version=1", "--batch_size=2", f"--length={NUM_FRAMES}")


@pytest.mark.parametrize(("name", "sizes"), [("wespeaker", FREE), ("mean_kept", FIXED)])
def test_front_end_of_the_checkpoint_is_inside(tmp_path, monkeypatch, name, sizes):
    front_end = FRONT_ENDS[name]
    checkpoint = make_checkpoint(tmp_path, front_end)
    # Export compares with the trained Cell; compiling it takes most of the time.
    monkeypatch.setattr(export_module, "cell_encoder", lambda *_: encoder(checkpoint))
    path = export(config_of(checkpoint, tmp_path / "model.mindir", "--input=waveform", *sizes))
    num_samples = front_end.num_samples(NUM_FRAMES)
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((2, num_samples), np.float32)
    feats = front_end.finish(np.stack([front_end(waveform) for waveform in waveforms]))
    assert feats.shape == (2, NUM_FRAMES, NUM_MELS)
    engine = load_engine(path)
    if sizes is FIXED:
        assert engine.exported.inputs[0]["shape"] == [2, num_samples]
    assert relative(engine.encode(waveforms), encoder(checkpoint)(feats)) <= 1e-3
