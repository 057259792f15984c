"""`feature_backend: speechbrain`: a line when it is missing; else its features and distortions are ours."""

import importlib.util
import sys

import numpy as np
import pytest

from mindvox.config import AugmentationOptions
from mindvox.data.augmentation import make_augmenter
from mindvox.data.front_ends import by_backend
from mindvox.errors import InputError, UsageError
from mindvox.frontend import distortions
from mindvox.frontend.augment import Augmenter, parse_stages
from mindvox.frontend.fbank import Fbank
from mindvox.frontend.kaldi_fbank import KaldiFbank
from tests.frontend.reference.distortion_cases import CASES, speech

HAS_SPEECHBRAIN = all(importlib.util.find_spec(name) for name in ("speechbrain", "torch", "torchaudio"))
needs_speechbrain = pytest.mark.skipif(not HAS_SPEECHBRAIN, reason="pip install -e '.[speechbrain]'")


@pytest.mark.parametrize("missing", ["torch", "speechbrain.augment"])
def test_missing_package_is_one_line_that_says_what_to_install(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "mindvox.frontend.speechbrain_front", raising=False)
    for make in (
        lambda: by_backend(Fbank(), "speechbrain"),
        lambda: make_augmenter(AugmentationOptions(augmentations=("speed",), feature_backend="speechbrain")),
    ):
        with pytest.raises(InputError, match=r"feature_backend: speechbrain needs .*\.\[speechbrain\]") as caught:
            make()
        assert "\n" not in str(caught.value)


def test_builtin_is_ours():
    assert type(by_backend(Fbank(), "builtin")) is Fbank
    made = make_augmenter(AugmentationOptions(augmentations=("volume",)))
    result = made.apply("volume", speech(), np.random.default_rng(0))
    np.testing.assert_array_equal(result, distortions.set_peak(speech(), np.random.default_rng(0).uniform(0.5, 1.5)))


@needs_speechbrain
def test_its_features_are_ours_to_its_rounding():
    its = by_backend(Fbank(), "speechbrain")
    np.testing.assert_allclose(its(speech()), Fbank()(speech()), atol=1e-3)
    assert its.to_dict() == Fbank().to_dict()


def test_it_has_no_other_front_end():
    with pytest.raises(UsageError, match="speechbrain has no front end kaldi_fbank"):
        by_backend(KaldiFbank(), "speechbrain")


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
