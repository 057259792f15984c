"""A toy detector that takes loud samples for speech, and Silero's detector if it was fetched."""

import pytest

from mindvox.errors import InputError
from mindvox.speech.detector import SpeechDetector
from tests.detector import write_loud_detector


@pytest.fixture(scope="session")
def loud_file(tmp_path_factory):
    return write_loud_detector(tmp_path_factory.mktemp("loud") / "model.onnx")


@pytest.fixture(scope="session")
def loud(loud_file):
    return SpeechDetector.open(loud_file)


@pytest.fixture(scope="session")
def silero():
    try:
        return SpeechDetector.open()
    except InputError as error:
        pytest.skip(str(error))
