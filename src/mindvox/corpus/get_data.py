"""Download, unpack and convert corpora.

Usage: mindvox get-data FOLDER PART... [options]; see docs/data.md.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Optional
from urllib.parse import quote

from mindvox.arguments import Parser
from mindvox.corpus.archives import extract
from mindvox.corpus.audio import is_audio_name
from mindvox.corpus.convert import AUDIO_FORMATS, FAILED_FILE, convert_tree
from mindvox.corpus.download import RemoteFile, download, find_credentials
from mindvox.errors import InputError, UsageError, run
from mindvox.files import lock_folder, read_json, text_lines, user_path, write_json

VOXCELEB_URL = "https://thor.robots.ox.ac.uk/~vgg/data/voxceleb/vox1a/{file}"
LISTS_URLS = ("https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta", "https://mm.kaist.ac.kr/datasets/voxceleb/meta")
TRAIN_LIST_LINE = re.compile(r"(id\d{5}) \1/[^/\s]+/\d+\.wav")
OPENSLR_URL = "https://www.openslr.org/resources"
URL_VARIABLE, USER_VARIABLE, PASSWORD_VARIABLE = "VOXCELEB_URL", "VOXCELEB_USER", "VOXCELEB_PASSWORD"


@dataclass(frozen=True)
class Part:
    """A part of the data.

    Args:
        what: description for --help.
        files: names of the files, with the published md5 or None. Several files are one archive, or several lists.
        target: folder of the unpacked files.
        audio_root: folder in the archive that contains the speakers; empty: unpack the archive unchanged.
        resource: number at OpenSLR; 0: part of VoxCeleb.
    """

    what: str
    files: Mapping[str, Optional[str]]
    target: str
    audio_root: str = ""
    resource: int = 0

    @property
    def is_list(self) -> bool:
        """Whether this is a set of VoxCeleb's lists, which need no registration and no unpacking."""
        return not self.audio_root and not self.resource


PARTS = {
    "vox1_dev": Part(
        "VoxCeleb1, 1,211 speakers for training",
        {
            "vox1_dev_wav_partaa": "e395d020928bc15670b570a21695ed96",
            "vox1_dev_wav_partab": "bbfaaccefab65d82b21903e81a8a8020",
            "vox1_dev_wav_partac": "017d579a2a96a077f40042ec33e51512",
            "vox1_dev_wav_partad": "7bb1e9f70fddc7a678fa998ea8b3ba19",
        },
        "voxceleb12",
        "wav",
    ),
    "vox1_test": Part(
        "VoxCeleb1, 40 speakers for testing",
        {"vox1_test_wav.zip": "185fdc63c3c739954633d50379a3d102"},
        "voxceleb1",
        "wav",
    ),
    "vox2_dev": Part(
        "VoxCeleb2, 5,994 speakers for training; m4a, converted",
        {
            "vox2_dev_aac_partaa": "da070494c573e5c0564b1d11c3b20577",
            "vox2_dev_aac_partab": "17fe6dab2b32b48abaf1676429cdd06f",
            "vox2_dev_aac_partac": "1de58e086c5edf63625af1cb6d831528",
            "vox2_dev_aac_partad": "5a043eb03e15c5a918ee6a52aad477f9",
            "vox2_dev_aac_partae": "cea401b624983e2d0b2a87fb5d59aa60",
            "vox2_dev_aac_partaf": "fc886d9ba90ab88e7880ee98effd6ae9",
            "vox2_dev_aac_partag": "d160ecc3f6ee3eed54d55349531cb42e",
            "vox2_dev_aac_partah": "6b84a81b9af72a9d9eecbb3b1f602e65",
        },
        "voxceleb12",
        "aac",
    ),
    "vox2_test": Part(
        "VoxCeleb2, 118 speakers for testing, not needed by any recipe here; m4a, converted",
        {"vox2_test_aac.zip": "0d2b3ea430a821c33263b5ea37ede312"},
        "voxceleb2_test",
        "aac",
    ),
    "trials": Part(
        "veri_test2.txt, the cleaned trial list of VoxCeleb1-O",
        {"veri_test2.txt": "b73110731c9223c1461fe49cb48dddfc"},
        "voxceleb1",
    ),
    "trials_original": Part(
        "veri_test.txt, the original list of VoxCeleb1-O",
        {"veri_test.txt": "29fc7cc1c5d59f0816dc15d6e8be60f7"},
        "voxceleb1",
    ),
    "trials_e": Part(
        "list_test_all2.txt and list_test_all.txt, VoxCeleb1-E cleaned and original",
        {
            "list_test_all2.txt": "a53e059deb562ffcfc092bf5d90d9f3a",
            "list_test_all.txt": "b9ecf7aa49d4b656aa927a8092844e4a",
        },
        "voxceleb1",
    ),
    "trials_h": Part(
        "list_test_hard2.txt and list_test_hard.txt, VoxCeleb1-H cleaned and original",
        {
            "list_test_hard2.txt": "857790e09d579a68eb2e339a090343c8",
            "list_test_hard.txt": "21c341b6b2168eea2634df0fb4b8fff1",
        },
        "voxceleb1",
    ),
    "train_list": Part(
        "train_list.txt of voxceleb_trainer: VoxCeleb2's utterances for training",
        {"train_list.txt": None},
        "voxceleb12",
    ),
    "musan": Part(
        "MUSAN: noise, music and speech to mix in",
        {"musan.tar.gz": "0c472d4fc0c5141eca47ad1ffeb2a7df"},
        ".",
        resource=17,
    ),
    "rirs": Part(
        "RIRS_NOISES: room responses",
        {"rirs_noises.zip": "e6f48e257286e05de56413b4779d8ffb"},
        ".",
        resource=28,
    ),
}


def get_part(
    name: str,
    folder: Path,
    checksums: Mapping[str, str],
    openslr_url: str = OPENSLR_URL,
    audio_format: str = "wav",
    num_processes: int = 0,
    keep_archives: bool = False,
    lists_urls: Sequence[str] = LISTS_URLS,
) -> bool:
    """Get one part; return whether all of it is usable. Finished work of earlier calls is not repeated.

    Args:
        name: key of PARTS.
        folder: folder for the data; archives go into its sub-folder `archives`.
        checksums: md5 by file name, in place of the published ones.
        openslr_url: address of OpenSLR's resources or of a mirror.
        audio_format: format to which m4a is converted, "wav" or "flac".
        num_processes: number of processes that convert; 0: one per core.
        keep_archives: keep archives after unpacking, and each .m4a after conversion.
        lists_urls: addresses of VoxCeleb's lists; each is tried if those before it fail.
    """
    part = PARTS[name]
    if part.is_list:
        for file, md5 in part.files.items():
            print(f"{name}: {_get_list(file, checksums.get(file, md5), folder / part.target, lists_urls)}")
        return True
    archives = folder / "archives"
    done_path = archives / f"{name}.done.json"
    if done_path.exists():
        print(f"{name}: already there, {read_json(done_path)['num_files']} files")
        return True
    remotes = [_remote(part, file, checksums.get(file, md5), openslr_url) for file, md5 in part.files.items()]
    target, unpacked = folder / part.target, archives / f"{name}.unpacked.json"
    if not unpacked.exists():
        paths = [download(remote, archives) for remote in remotes]
        num_files = extract(paths, target, _Placing(part.audio_root))
        if not num_files:
            raise InputError(f"{name}: no recordings in {paths[0].name}: not the archive that was expected.")
        write_json(unpacked, {"num_files": num_files})
    num_files = read_json(unpacked)["num_files"]
    if part.audio_root == "aac":
        failed = convert_tree(target / "aac", target / "wav", audio_format, num_processes, keep_archives)
        if failed:
            print(
                f"{name}: {len(failed)} of {num_files} failed, listed in {target / 'wav' / FAILED_FILE}. Run again, or "
                f"remove these files from {target / 'aac'} and run again to continue without them."
            )
            return False
    write_json(done_path, {"num_files": num_files})
    unpacked.unlink()
    if not keep_archives:
        for file in part.files:
            (archives / file).unlink(missing_ok=True)
    print(f"{name}: {num_files} files in {target}")
    return True


def _get_list(file: str, md5: Optional[str], folder: Path, urls: Sequence[str]) -> Path:
    """Download a list from the first address that has it; an existing list is kept."""
    path = folder / file
    if path.exists():
        return path
    for number, url in enumerate(urls, 1):
        try:
            download(RemoteFile(file, f"{url.rstrip('/')}/{file}", md5), folder)
            if md5 is None:
                _check_train_list(path)
            return path
        except InputError as error:
            if number == len(urls):
                raise
            print(f"{error} Trying another address.", file=sys.stderr)
    raise ValueError("expected at least one address.")


def _check_train_list(path: Path) -> None:
    """Remove a training list with wrong content, such as an error page of the server; no md5 is published for it."""
    line_no = 0
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line_no, line in enumerate(lines, 1):
            if not TRAIN_LIST_LINE.fullmatch(line.strip()):
                path.unlink()
                raise InputError(
                    f"{path.name}:{line_no}: expected '<speaker> <speaker>/<video>/<number>.wav', got "
                    f"{line.strip()[:80]!r}. The file was removed."
                )
    if not line_no:
        path.unlink()
        raise InputError(f"{path.name}: the file that came is empty, and was removed.")


def _remote(part: Part, file: str, md5: Optional[str], openslr_url: str) -> RemoteFile:
    if part.resource:
        return RemoteFile(file, f"{openslr_url.rstrip('/')}/{part.resource}/{file}", md5)
    template = os.environ.get(URL_VARIABLE) or VOXCELEB_URL
    url = template.replace("{file}", quote(file)) if "{file}" in template else f"{template.rstrip('/')}/{quote(file)}"
    return RemoteFile(file, url, md5, find_credentials(url, USER_VARIABLE, PASSWORD_VARIABLE))


class _Placing:
    """Returns where files of an archive belong: those below the audio root, wherever that lies in the archive."""

    def __init__(self, audio_root: str) -> None:
        self.audio_root = audio_root

    def __call__(self, path: PurePosixPath) -> Optional[PurePosixPath]:
        if not self.audio_root:
            return path
        if self.audio_root not in path.parts or not is_audio_name(path.name):
            return None
        return PurePosixPath(*path.parts[path.parts.index(self.audio_root) :])


def read_checksums(path: Path) -> dict[str, str]:
    """Read a file in the format of `md5sum`, `<md5>  <name>` a line.

    Raises:
        InputError: a line has another format, or the file is missing.
    """
    checksums = {}
    for line_no, line in text_lines(path, "file of checksums"):
        match = re.fullmatch(r"([0-9a-fA-F]{32})\s+\*?(\S+)", line.strip())
        if not match:
            raise InputError(f"{path}:{line_no}: expected '<md5>  <name>' as md5sum writes it, got {line!r}.")
        checksums[Path(match[2]).name] = match[1].lower()
    return checksums


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Download, unpack and convert corpora."""
    parser = Parser(
        prog="mindvox get-data",
        description=main.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["parts:", *(f"  {name:15} {part.what}" for name, part in PARTS.items())])
        + f"\n\nVoxCeleb is given out to registered users. The environment says who you are: {USER_VARIABLE} and\n"
        f"{PASSWORD_VARIABLE} (or ~/.netrc), and {URL_VARIABLE}, the address of the files with {{file}} for a name,\n"
        "which may hold your key.",
    )
    parser.add_argument("folder", type=user_path, metavar="FOLDER", help="folder for the data")
    parser.add_argument("parts", nargs="+", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--audio_format", choices=AUDIO_FORMATS, default="wav", help="file format; flac is smaller")
    parser.add_argument(
        "--num_processes", type=int, default=0, help="number of processes that convert m4a; 0: one per core"
    )
    parser.add_argument("--md5", type=user_path, metavar="FILE", help="checksums to use instead of the published ones")
    parser.add_argument(
        "--openslr_url", default=OPENSLR_URL, help="address of OpenSLR or a mirror (default: %(default)s)"
    )
    parser.add_argument(
        "--lists_url",
        default="",
        metavar="URL",
        help=f"address of a folder with VoxCeleb's lists (default: {' or '.join(LISTS_URLS)})",
    )
    parser.add_argument("--keep_archives", action="store_true", help="keep archives and .m4a files")
    given = parser.parse_args(argv)
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        raise UsageError(f"unknown part {', '.join(unknown)}: expected some of {', '.join(PARTS)}.")
    checksums = read_checksums(given.md5) if given.md5 else {}
    with lock_folder(given.folder):
        complete = [
            get_part(
                name,
                given.folder,
                checksums,
                given.openslr_url,
                given.audio_format,
                given.num_processes,
                given.keep_archives,
                [given.lists_url] if given.lists_url else LISTS_URLS,
            )
            for name in given.parts
        ]
    return 0 if all(complete) else 1


if __name__ == "__main__":
    sys.exit(run(main))
