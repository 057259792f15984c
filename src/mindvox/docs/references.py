"""The papers of all methods, by arXiv number or by the words of their citations."""

import re
from functools import cache

from mindvox.config import ROOT
from mindvox.docs.markdown import table
from mindvox.errors import InputError
from mindvox.files import read_text

PACKAGE = ROOT / "src" / "mindvox"
NUMBER = re.compile(r"(?i)arxiv[: ]+(\d{4}\.\d{4,5})")
PAPERS = {
    "1406.1078": ("GRU", "Cho et al. 2014"),
    "1503.03832": ("triplet loss (FaceNet)", "Schroff, Kalenichenko, Philbin 2015"),
    "1506.01186": ("cyclic learning rate", "Smith 2017"),
    "1512.03385": ("ResNet", "He, Zhang, Ren, Sun 2016"),
    "1606.08415": ("GELU", "Hendrycks, Gimpel 2016"),
    "1607.06450": ("layer normalisation", "Ba, Kiros, Hinton 2016"),
    "1608.03983": ("cosine learning rate", "Loshchilov, Hutter 2017"),
    "1703.05175": ("prototypical loss", "Snell, Swersky, Zemel 2017"),
    "1704.08063": ("SphereFace", "Liu et al. 2017"),
    "1706.03762": ("transformer encoder", "Vaswani et al. 2017"),
    "1706.08612": ("VGGVox; VoxCeleb", "Nagrani, Chung, Zisserman 2017"),
    "1709.01507": ("squeeze and excitation", "Hu et al. 2018"),
    "1710.10467": ("GE2E", "Wan, Wang, Papir, Moreno 2018"),
    "1801.05599": ("additive margin softmax", "Wang et al. 2018"),
    "1801.07698": ("ArcFace, additive angular margin softmax", "Deng et al. 2019"),
    "1801.09414": ("CosFace", "Wang et al. 2018"),
    "1803.10963": ("attentive statistics pooling", "Okabe, Koshinaka, Shinoda 2018"),
    "1804.05160": ("self-attentive pooling", "Cai, Chen, Li 2018"),
    "1808.00158": ("SincNet", "Ravanelli, Bengio 2018"),
    "1904.01169": ("Res2Net", "Gao et al. 2019"),
    "1904.08779": ("SpecAugment", "Park et al. 2019"),
    "1904.09237": ("AMSGrad", "Reddi, Kale, Kumar 2018"),
    "1910.10400": ("analytic filterbanks", "Pariente et al. 2020"),
    "1910.12592": ("r-vectors", "Zeinali et al. 2019"),
    "2003.11982": ("angular prototypical loss; Fast ResNet-34", "Chung et al. 2020"),
    "2004.00526": ("RawNet2", "Jung, Kim, Shim, Kim, Yu 2020"),
    "2005.07143": ("ECAPA-TDNN", "Desplanques, Thienpondt, Demuynck 2020"),
    "2009.14153": ("ResNetSE34V2", "Heo et al. 2020"),
    "2010.11255": ("large-margin fine-tuning", "Thienpondt, Desplanques, Demuynck 2020"),
    "2104.04045": ("end-to-end segmentation (PyanNet)", "Bredin, Laurent 2021"),
    "2108.01513": ("SphereFace2", "Wen et al. 2022"),
    "2110.05042": ("inter-top-k penalty", "Zhao et al. 2022"),
    "2110.06534": ("SimAM-ResNet", "Qin et al. 2022"),
    "2110.09116": ("real additive margin softmax", "Zhang et al. 2021"),
    "2211.16878": ("SphereFace2 for speakers", "Han et al. 2023"),
    "2303.00332": ("CAM++", "Wang, Zheng, Chen, Cheng, Chen 2023"),
    "2305.12838": ("ERes2Net", "Chen, Zheng, Wang, Cheng, Chen, Qi 2023"),
    "2310.13025": ("powerset segmentation (segmentation-3.0)", "Plaquet, Bredin 2023"),
    "2406.02167": ("ERes2NetV2", "Chen et al. 2024"),
    "2601.19709": ("hyperbolic additive margin softmax", "Fang, He 2026"),
    "2603.11841": ("ReDimNet2", "Yakovlev, Okhotnikov 2026"),
}
"""Method and authors by arXiv number."""
OTHERS = {
    "x-vectors": ("x-vectors", "Snyder, Garcia-Romero, Sell, Povey, Khudanpur 2018, ICASSP"),
    "Schmidhuber 1997": ("LSTM", "Hochreiter, Schmidhuber 1997, Neural Computation 9"),
    "Sub-center ArcFace": ("sub-centres", "Deng et al. 2020, Sub-center ArcFace, ECCV"),
    "Parameter-Free": ("SimAM", "Yang et al. 2021, SimAM: A Simple, Parameter-Free Attention Module, ICML"),
    "Matejka et al. 2017": ("adaptive s-norm", "Matejka et al. 2017, Analysis of score normalization, Interspeech"),
    "length normalization": (
        "length normalisation for PLDA",
        "Garcia-Romero, Espy-Wilson 2011, Analysis of i-vector length normalization, Interspeech",
    ),
    "speaker partitioning": (
        "two-covariance model",
        "Brümmer, de Villiers 2010, The speaker partitioning problem, Odyssey",
    ),
    "Application-independent": (
        "Cllr",
        "Brümmer, du Preez 2006, Application-independent evaluation of speaker detection",
    ),
    "Martin et al. 1997": ("DET curves", "Martin et al. 1997, The DET curve, Eurospeech"),
    "exchangeable arrays": (
        "bootstrap over speakers",
        "Davezies, D'Haultfoeuille, Guyonvarch 2021, Empirical process results for exchangeable arrays",
    ),
    "Konis 2007": ("separation in logistic regression", "Konis 2007"),
    "Bredin 2023": ("pyannote.audio's diarization", "Bredin 2023, pyannote.audio 2.1, Interspeech"),
    "second DIHARD": ("Jaccard error rate", "Ryant et al. 2019, second DIHARD evaluation plan"),
    "Rich Transcription 2009": ("RTTM", "NIST 2009, Rich Transcription evaluation plan"),
    "Higham 2002": ("bounds of rounding", "Higham 2002, Accuracy and Stability of Numerical Algorithms"),
}
"""Method and source of papers without arXiv number, by words of their citations in the code."""


def references() -> list[str]:
    """Return the table of papers, each with the files that cite it.

    Raises:
        InputError: the code cites a paper that is not in the table, or the table has one that is not cited.
    """
    rows = []
    cited = {number: _citing(number) for number in _numbers()}
    for number, paths in cited.items():
        if number not in PAPERS:
            raise InputError(f"{paths[0]}: cites arXiv:{number}: add it to PAPERS of src/mindvox/docs/references.py.")
    for number, (method, authors) in PAPERS.items():
        if number not in cited:
            raise InputError(f"src/mindvox/docs/references.py: no file cites arXiv:{number}: remove it.")
        source = f"{authors}, [arXiv:{number}](https://arxiv.org/abs/{number})"
        rows.append((method, source, _names(cited[number])))
    for words, (method, source) in OTHERS.items():
        if not _citing(words):
            raise InputError(f"src/mindvox/docs/references.py: no file has the words {words!r}: remove the entry.")
        rows.append((method, source, _names(_citing(words))))
    return table(("Method", "Source", "Where"), sorted(rows, key=lambda row: row[0].lower()))


def _numbers() -> list[str]:
    return sorted({number for text in _texts().values() for number in NUMBER.findall(text)})


def _citing(words: str) -> list[str]:
    return [path for path, text in _texts().items() if words in text]


def _names(paths: list[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


@cache
def _texts() -> dict[str, str]:
    """Return the text of each file that may cite, with line breaks and indents as single blanks."""
    found = [*PACKAGE.rglob("*.py"), *(ROOT / "hparams").rglob("*.yaml")]
    own = PACKAGE / "docs"
    texts = {path: read_text(path) for path in sorted(found) if own not in path.parents}
    short = {path: str(path.relative_to(PACKAGE if PACKAGE in path.parents else ROOT)) for path in texts}
    return {short[path]: re.sub(r"\s+(# )?", " ", text) for path, text in texts.items()}
