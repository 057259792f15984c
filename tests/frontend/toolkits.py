"""The front ends of other toolkits whose numbers are stored."""

import numpy as np

from mindvox.registry import FRONT_ENDS
from tests.frontend.reference.spectral_cases import CASES

VECTORS = {
    "mv_melspectrogram": "mvector_mel",
    "mv_melspectrogram_meannorm": "mvector_mel",
    "mv_mfcc": "mvector_mfcc",
    "mv_spectrogram": "mvector_spectrogram",
    "vt_resnetse34l_mel40_log": "resnetse34l",
    "vt_resnetse34l_mel40_log_int16": "resnetse34l_int16",
    "vt_resnetse34l_mel40_nolog": "resnetse34l_nolog",
    "vt_resnetse34v2_mel64_log": "resnetse34v2",
    "vt_vggvox_mel40_log": "vggvox",
}


def front_end_of_case(case: str, dtype: type = np.float64):
    name, settings = CASES[case]
    return FRONT_ENDS.get(name)(dtype, **settings)
