"""A converter_lite of our own: the real one needs CANN."""

from dataclasses import replace
from pathlib import Path

from mindvox.engines.exported import ExportedModel
from tests.deploy.toy import FRONT_END, SETTINGS, save_description

# Writes its options and its configuration file into the "model".
CONVERTER = """#!/usr/bin/env bash
set -euo pipefail
for word in "$@"; do
  case $word in
    --outputFile=*) output="${word#*=}" ;;
    --configFile=*) config="${word#*=}" ;;
    --modelFile=*) cmp -s "${word#*=}" "$EXPECTED_MODEL" ;;
  esac
done
echo "the converter's log"
[[ -z "${FAIL:-}" ]] || exit "$FAIL"
[[ -n "${SILENT:-}" ]] || { printf '%s\\n' "$@" | grep -v File=; cat "$config"; } >"$output.mindir"
"""


def model_of(folder: Path, **changes) -> Path:
    """Write a description for Ascend beside bytes that stand for a model."""
    path = folder / "m o+d.mindir"
    path.write_bytes(b"a model")
    sizes = {"batch_size": None, "num_frames": None, "min_frames": 9, "feature_size": 16, "emb_size": 6}
    exported = ExportedModel(
        file_format="MINDIR", input_kind="features", **sizes, further_outputs={}, precision="float32",
        device_target="Ascend", front_end=FRONT_END.to_dict(), model=SETTINGS, checkpoint_sha256="0", file_sha256="",
        weights_sha256=None, mindir_version=3, least_lite="2.10.0",
    )  # fmt: skip
    return save_description(path, replace(exported, **changes))


def converter_in(folder: Path) -> Path:
    converter = folder / "converter_lite"
    converter.parent.mkdir(parents=True, exist_ok=True)
    converter.write_text(CONVERTER)
    converter.chmod(0o755)
    return converter
