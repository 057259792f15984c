"""mvector's menu to enrol, recognise and delete users by microphone: mindvox infer-recognition --audio_db_path=FOLDER.

Questions and answers are those of mvector. When it waits for the return key, the path of a file can be entered instead.
`mindvox enrol`, `identify` and `speakers` do the same with files, and check the recordings.
"""

from collections.abc import Callable, Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.compat.mvector import Audio, MVectorPredictor, add_predictor_arguments
from mindvox.embedder import UnusableRecording
from mindvox.errors import InputError
from mindvox.files import user_path, user_text
from mindvox.speech.microphone import Microphone, microphone

REGISTER, RECOGNISE, DELETE = "0", "1", "2"

Listen = Callable[[], Audio]
"""Ask for a recording, and return its path or its samples."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Enrol, recognise and delete users from a menu, until the input ends."""
    arguments = _parser().parse_args(argv)
    predictor = MVectorPredictor(
        threshold=arguments.threshold, audio_db_path=arguments.audio_db_path, model_path=arguments.model_path
    )
    for name in dict.fromkeys(predictor.get_users()):
        print(f"Loaded {name} audio.")
    choices = {REGISTER: _register, RECOGNISE: _recognise, DELETE: _delete}
    try:
        while True:
            choice = input("请选择功能，0为注册音频到声纹库，1为执行声纹识别，2为删除用户：").strip()
            if choice not in choices:
                print("请正确选择功能")
                continue
            try:
                choices[choice](predictor, lambda: _listen(arguments.record_seconds))
            except (InputError, UnusableRecording) as error:  # about this recording or name; the menu continues
                print(error)
    except EOFError:
        print()
        return 0


def _listen(microphone: Microphone) -> Audio:
    given = input(f"按下回车键开机录音，录音{microphone.duration_s:g}秒中：").strip()
    if given:
        path = user_path(given)
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
        return path
    samples = microphone.record(begin=lambda: print("开始录音......", flush=True))
    print("录音已结束!")
    return samples


def _register(predictor: MVectorPredictor, listen: Listen) -> None:
    heard = listen()
    name = input("请输入该音频用户的名称：").strip()
    if name:
        predictor.register(heard, name, Microphone.sample_rate)


def _recognise(predictor: MVectorPredictor, listen: Listen) -> None:
    name, score = predictor.recognition(listen(), sample_rate=Microphone.sample_rate)
    print(f"识别说话的为：{name}，相似度为：{score:f}" if name else "没有识别到说话人，可能是没注册。")


def _delete(predictor: MVectorPredictor, _: Listen) -> None:
    name = input("请输入删除用户的名称：").strip()
    if name and not predictor.remove_user(name):
        print("没有这个用户！")


def _parser() -> Parser:
    parser = Parser(prog="mindvox infer-recognition", description=main.__doc__)
    parser.add_argument(
        "--audio_db_path", type=user_text, default="audio_db", help="folder of the users' recordings (%(default)s)"
    )
    parser.add_argument(
        "--record_seconds", type=microphone, default="3", metavar="S", help="length of a recording, s (default: 3)"
    )
    add_predictor_arguments(parser)
    return parser
