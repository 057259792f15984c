"""Speaker verification on MindSpore. Packages import only those above them in the list of docs/design.md.

The names in `__all__` are public: they stay, or a release note names their replacement. Each is imported on first
use, so that `import mindvox` is quick and does not import MindSpore.

    from mindvox import Embedder, SpeechDetector, verify

    embedder = Embedder.open("campplus_zh_en")
    decision = verify(embedder, "a.flac", "b.flac", detector=SpeechDetector.open())
    print(decision.answer, decision.score)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` gives, for type checkers and editors
    from mindvox.config import Config, load_config
    from mindvox.decisions import Decision, verify
    from mindvox.diarization.pipeline import Diarization, Diarizer
    from mindvox.embedder import Embedder, Embeddings, UnusableRecording
    from mindvox.errors import InputError, UsageError
    from mindvox.models import create_model, load_model
    from mindvox.registry import FRONT_ENDS, LOSSES, MODELS, POOLINGS, SAMPLERS, SCHEDULES, TOOLKITS
    from mindvox.scoring.metrics import eer, min_dcf
    from mindvox.speakers.enrolment import enrol
    from mindvox.speakers.identification import Candidates, identify
    from mindvox.speakers.listening import Listener
    from mindvox.speakers.store import ModelIdentity, SpeakerStore, open_store
    from mindvox.speech.detector import SpeechDetector
    from mindvox.speech.microphone import Microphone

_HOMES = {
    "mindvox.config": ("Config", "load_config"),
    "mindvox.decisions": ("Decision", "verify"),
    "mindvox.diarization.pipeline": ("Diarization", "Diarizer"),
    "mindvox.embedder": ("Embedder", "Embeddings", "UnusableRecording"),
    "mindvox.errors": ("InputError", "UsageError"),
    "mindvox.models": ("create_model", "load_model"),
    "mindvox.registry": ("FRONT_ENDS", "LOSSES", "MODELS", "POOLINGS", "SAMPLERS", "SCHEDULES", "TOOLKITS"),
    "mindvox.scoring.metrics": ("eer", "min_dcf"),
    "mindvox.speakers.enrolment": ("enrol",),
    "mindvox.speakers.identification": ("Candidates", "identify"),
    "mindvox.speakers.listening": ("Listener",),
    "mindvox.speakers.store": ("ModelIdentity", "SpeakerStore", "open_store"),
    "mindvox.speech.detector": ("SpeechDetector",),
    "mindvox.speech.microphone": ("Microphone",),
}

__all__ = [
    "FRONT_ENDS",
    "LOSSES",
    "MODELS",
    "POOLINGS",
    "SAMPLERS",
    "SCHEDULES",
    "TOOLKITS",
    "Candidates",
    "Config",
    "Decision",
    "Diarization",
    "Diarizer",
    "Embedder",
    "Embeddings",
    "InputError",
    "Listener",
    "Microphone",
    "ModelIdentity",
    "SpeakerStore",
    "SpeechDetector",
    "UnusableRecording",
    "UsageError",
    "create_model",
    "eer",
    "enrol",
    "identify",
    "load_config",
    "load_model",
    "min_dcf",
    "open_store",
    "verify",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'mindvox' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
