"""The function of a calibration or fusion. Fitting it, in calibration.py, needs SciPy; applying it does not."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearLlr:
    """Log-likelihood ratio (natural logarithm) as a weighted sum of inputs and an offset.

    Attributes:
        names: names of the inputs.
        weights: one weight for each input.
        offset: added to the sum.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    offset: float

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Map inputs (T, number of names) to log-likelihood ratios (T,)."""
        return inputs @ np.array(self.weights) + self.offset

    def formula(self) -> str:
        """Return the sum as text, such as `llr = 9.5 * baseline - 3.2`."""
        terms = [f"{weight:.6g} * {name}" for weight, name in zip(self.weights, self.names, strict=True)]
        return f"llr = {' + '.join([*terms, f'{self.offset:.6g}'])}".replace("+ -", "- ")
