"""`frontend: speechbrain`: a line when it is missing; when it is there, its features and distortions are ours."""

import importlib.util
import sys

import numpy as np
import pytest

from mindvox.config import AugmentationOptions
from mindvox.data.augmentation import make_augmenter, make_fbank
from mindvox.errors import InputError
from mindvox.frontend import distortions
from mindvox.frontend.augment import Augmenter, parse_stages
from mindvox.frontend.fbank import Fbank, FbankConfig
from tests.frontend.reference.distortion_cases import CASES, speech

HAS_SPEECHBRAIN = all(importlib.util.find_spec(name) for name in ("speechbrain", "torch", "torchaudio"))
needs_speechbrain = pytest.mark.skipif(not HAS_SPEECHBRAIN, reason="pip install -e '.[speechbrain]'")


@pytest.mark.parametrize("missing", ["torch", "speechbrain.augment"])
def test_missing_package_is_one_line_that_says_what_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "mindvox.frontend.speechbrain_front", raising=False)
    for make in (
        lambda: make_fbank("speechbrain", FbankConfig()),
        lambda: make_augmenter(AugmentationOptions(augmentations=("speed",), frontend="speechbrain")),
    ):
        with pytest.raises(InputError, match=r"frontend: speechbrain needs .*\.\[speechbrain\]") as caught:
            make()
        assert "\n" not in str(caught.value)


def test_builtin_is_ours():
    assert isinstance(make_fbank("builtin", FbankConfig()), Fbank)
    made = make_augmenter(AugmentationOptions(augmentations=("volume",)))
    result = made.apply("volume", speech(), np.random.default_rng(0))
    np.testing.assert_array_equal(result, distortions.set_peak(speech(), np.random.default_rng(0).uniform(0.5, 1.5)))


@needs_speechbrain
def test_its_features_are_ours_to_its_rounding():
    config = FbankConfig()
    np.testing.assert_allclose(make_fbank("speechbrain", config)(speech()), Fbank(config)(speech()), atol=1e-3)


@needs_speechbrain
@pytest.mark.parametrize("stage", ["speed", "drop_freq", "drop_chunk", "volume", "clip", "babble"])
def test_its_distortions_are_ours_for_the_same_seed(stage):
    from mindvox.frontend import speechbrain_front

    options = AugmentationOptions(augmentations=(stage,))
    ours, its = (Augmenter(parse_stages(options), options, functions=f) for f in (distortions, speechbrain_front))

    def voices(rng, num_voices, num_samples):
        return [rng.standard_normal(num_samples).astype(np.float32) for _ in range(num_voices)]

    for seed in range(5):
        one, other = (made.apply(stage, speech(), np.random.default_rng(seed), voices) for made in (ours, its))
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-6 * np.abs(one).max())


@needs_speechbrain
@pytest.mark.parametrize("name", CASES)
def test_stored_reference_is_what_it_gives(name):
    from pathlib import Path

    from mindvox.frontend import speechbrain_front

    function, arguments = CASES[name]
    with np.load(Path(__file__).parent / "reference" / "distortions_reference.npz") as reference:
        result = getattr(speechbrain_front, function)(speech(), *arguments)
        np.testing.assert_allclose(result, reference[name], rtol=0, atol=1e-6)
