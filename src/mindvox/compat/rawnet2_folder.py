"""The output folder of RawNet2's Ascend port."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

BEST = "best_opt_eval.ckpt"
FPS_LINE = re.compile(r"INFOFPS:(\S+)/epoch")


@dataclass(frozen=True)
class OutputFolder:
    """`train/train_<n>P/DNNS/<name>`, the folder of one experiment.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def models(self) -> Path:
        """Checkpoints: best_opt_eval.ckpt, TA_<epoch>_<eer>.ckpt, and those from which a run resumes."""
        return self.root / "models"

    @property
    def results(self) -> Path:
        """Scores of each epoch, eval_epoch<epoch>.txt, and the evaluation of further lists."""
        return self.root / "results"

    @property
    def log(self) -> Path:
        """Losses, FPS and EER of each epoch, eval_epoch<epoch>.txt."""
        return self.root / "log"

    @property
    def prof(self) -> Path:
        """Step times of each epoch, in the format of Chrome's trace viewer."""
        return self.root / "prof"

    @property
    def eers(self) -> Path:
        """The EER of each epoch."""
        return self.root / "eers.txt"

    @property
    def params(self) -> Path:
        """All settings."""
        return self.root / "f_params.txt"

    @property
    def config(self) -> Path:
        """The resolved configuration, which further processes read."""
        return self.root / "config.yaml"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.models, self.results, self.log, self.prof):
            folder.mkdir(parents=True, exist_ok=True)

    def last_fps(self) -> Optional[float]:
        """Return the FPS of the last epoch that has one."""
        logs = sorted(self.log.glob("eval_epoch*.txt"), key=lambda path: path.stat().st_mtime_ns)
        found = [FPS_LINE.findall(path.read_text(encoding="utf-8")) for path in logs]
        return next((float(rates[-1]) for rates in reversed(found) if rates), None)

    def last_eer(self) -> Optional[float]:
        """Return the EER of the last epoch that was evaluated."""
        lines = self.eers.read_text(encoding="utf-8").split() if self.eers.exists() else []
        return float(lines[-1].split("TA_eval_eer:")[1]) if lines else None
