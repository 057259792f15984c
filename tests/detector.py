"""A stand-in for WebRTC's detector of speech, so that tests need no further package and know what is kept."""

import numpy as np


class LoudIsSpeech:
    """Take windows for speech that have a sample above a tenth of full scale."""

    def is_speech(self, window: bytes, sample_rate: int) -> bool:
        assert len(window) == 2 * sample_rate * 30 // 1000
        return bool(np.abs(np.frombuffer(window, "<i2").astype(int)).max() > 3277)
