"""mvector's comparison of two recordings: mindvox infer-contrast --audio_path1=a.wav --audio_path2=b.wav.

It prints mvector's line. `mindvox verify` also gives reasons, and refuses silence.
"""

from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.compat.mvector import MVectorPredictor, add_predictor_arguments
from mindvox.files import user_path


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Print whether two recordings are of one person, and their cosine."""
    parser = Parser(prog="mindvox infer-contrast", description=main.__doc__)
    parser.add_argument("--audio_path1", type=user_path, default="audio/a_1.wav", metavar="FILE")
    parser.add_argument("--audio_path2", type=user_path, default="audio/b_2.wav", metavar="FILE")
    add_predictor_arguments(parser)
    arguments = parser.parse_args(argv)
    predictor = MVectorPredictor(threshold=arguments.threshold, model_path=arguments.model_path)
    score = predictor.contrast(arguments.audio_path1, arguments.audio_path2)
    same = "为同一个人" if score > predictor.threshold else "不是同一个人"
    print(f"{arguments.audio_path1} 和 {arguments.audio_path2} {same}，相似度为：{score}")
    return 0
