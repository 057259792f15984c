"""With this folder on PYTHONPATH, the small model stands in ECAPA-TDNN's place; see tests/small_model.py."""

from mindvox.registry import MODELS

MODELS._entries["ecapa_tdnn"] = "tests.small_model:SmallModel"
