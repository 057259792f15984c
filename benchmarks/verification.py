"""The calibration that comes with campplus_zh_en, and how `mindvox verify` does on people that it never heard.

python benchmarks/verification.py fit CORPUS          writes src/mindvox/calibrations/campplus_zh_en.json
python benchmarks/verification.py accept CORPUS       writes benchmarks/verification.json
python benchmarks/verification.py moves CORPUS        adds to it how far conditions move scores
python benchmarks/verification.py speakers CORPUS     adds to it what the ratio with an enrolled speaker is worth

CORPUS is Mini LibriSpeech. The 251 readers of `voxceleb12/wav` are dealt to two parts: on one the ratios are fitted, on
the other the threshold is chosen, see `choose_rate`. `voxceleb1/wav`, `noise` and `rir` are for the tests alone.
The model must have been fetched (mindvox fetch campplus_zh_en). Embeddings are kept under --cache: the same command
goes on from there. The 2,008 pieces of the fit take ten minutes on one core.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.conditions import (
    GENERATED,
    RATE,
    at_snr,
    babble,
    coded,
    generated_noise,
    in_room,
    narrow_band,
    telephone,
)
from mindvox.corpus.audio import read_audio
from mindvox.decisions import UNUSABLE, Examined, cosine, decide, examine
from mindvox.embedder import DEFAULT_MODEL, Embedder
from mindvox.files import write_json
from mindvox.pair_calibration import RATES, PairCalibration, fingerprint_of
from mindvox.pair_fit import RIDGE, Pairs, apply, bands_of, fit_pairs
from mindvox.rules import ACCEPT, REJECT
from mindvox.scoring.measures import measure_llr
from mindvox.speakers.store import Sample, centroid_of
from mindvox.speakers.verification import compare
from mindvox.speech.detector import SpeechDetector
from mindvox.speech.quality import BANDS, DEFAULT_LIMITS, Limits, Problem, Quality, problem

SHIPPED = PairCalibration.shipped_path(DEFAULT_MODEL)
RESULTS = Path(__file__).with_suffix(".json")
FIT_SEED, NOISE_SEED, SILENCE_SEED, SPLIT_SEED = 7, 8, 9, 10
NUM_FITTED = 125  # readers; the threshold is chosen on the other 126
PIECES, CLEAN_PIECES = 4, 2  # of each half of a training reader's recording; the others are noisy
PIECE_S = (1.0, 6.0)
FIT_SNR_DB = (0.0, 25.0)
TEST_S = 3.0
TEST_SNR_DB = 10.0
NUM_WITHOUT_SPEECH = 200
ENROL_SEED, NUM_ENROLLED, ENROLMENTS = 11, (1, 3, 5), 10
ANY = Limits(min_net_speech_s=0.0, min_snr_db=-100.0, max_clipped_share=1.0, min_voice_agreement=-1.0)
MOST_FALSE_ACCEPTS = 0.001  # of pairs of readers on whom the ratios were not fitted, whatever their noise
KINDS = ("both clean", "one in noise", "both in noise")
MANDARIN = 0.43  # highest score of two Mandarin speakers who were recorded with one device
LEAST_COSINE = 0.44  # the least hundredth above it
WHY = (
    "two Mandarin speakers recorded with one device score 0.32 to 0.43, which no pair of English readers of the fit is "
    "evidence about"
)
CANNOT_SHOW = [
    "Each of its readers has one recording: the pairs of one person are parts of one session, with one microphone in "
    "one room. Two recordings of one person at different times and places score lower, and their ratios are too bold.",
    "All speech is read English, in books recorded at home: for other languages, whispering, shouting or singing the "
    "ratios mean nothing that was measured. The least cosine guards the answer `same person`, not the ratio.",
    "Noise was computed or babble of readers, 0 to 25 dB. Rooms and codecs were not in the fit; docs/verify.md says "
    "how far they move scores. Neither were telephones, for which there is no answer unless noise hides what they are.",
    "Relatives, imitators, played back and synthesised voices were not among the pairs.",
]

Recording = tuple[str, np.ndarray]  # speaker, samples


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("fit", "accept", "moves", "speakers"))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("verification_cache"))
    parser.add_argument("--to", type=Path, help="the file to write")
    given = parser.parse_args(argv)
    bench = Bench(given.corpus, given.cache)
    if given.part == "fit":
        fit(bench, given.to or SHIPPED)
    else:
        {"accept": accept, "moves": moves, "speakers": speakers}[given.part](bench, given.to or RESULTS)
    return 0


class Bench:
    """The corpus, the model, and embeddings that are made once.

    Args:
        corpus: Mini LibriSpeech.
        cache: folder of embeddings by the name of a set.
    """

    def __init__(self, corpus: Path, cache: Path) -> None:
        self.corpus, self.cache = corpus, cache
        self.embedder, self.detector = Embedder.open(DEFAULT_MODEL), SpeechDetector.open()

    def readers(self, part: str) -> list[Recording]:
        """Return speaker and samples of each recording of a part of the corpus, in order of their paths."""
        paths = sorted((self.corpus / part / "wav").rglob("*.flac"))
        return [(path.parts[-3], read_audio(path).waveform) for path in paths]

    def waveforms(self, folder: str) -> list[np.ndarray]:
        return [read_audio(path).waveform for path in sorted((self.corpus / folder).glob("*.wav"))]

    def examined(self, name: str, samples: Callable[[], Iterator[Recording]]) -> list[tuple[str, Examined]]:
        """Return speaker and what `verify` knows of each sample of a set."""
        path = self.cache / f"{name}.npz"
        if not path.is_file():
            self._make(path, samples())
        with np.load(path, allow_pickle=False) as kept:
            found = []
            for speaker, text, embedding in zip(kept["speakers"], kept["qualities"], kept["embeddings"], strict=True):
                quality = Quality(**json.loads(str(text)))
                trouble = problem(quality, DEFAULT_LIMITS)
                if trouble is None and not embedding.any():
                    trouble = Problem(UNUSABLE, "the embedder refused it")
                found.append((str(speaker), Examined(name, None if trouble else embedding, quality, trouble)))
            return found

    def _make(self, path: Path, samples: Iterator[Recording]) -> None:
        rows = []
        for speaker, waveform in samples:
            one = examine(self.embedder, waveform, self.detector, ANY, RATE)
            assert one.quality is not None, one.problem
            vector = np.zeros(self.embedder.emb_size, np.float32) if one.embedding is None else one.embedding
            rows.append((speaker, json.dumps(asdict(one.quality)), vector))
            if len(rows) % 100 == 0:
                print(f"{path.stem}: {len(rows)} embeddings", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        speakers, qualities, embeddings = zip(*rows, strict=True)
        np.savez(path, speakers=speakers, qualities=qualities, embeddings=np.stack(embeddings))


# The fit


def fit(bench: Bench, to: Path) -> None:
    """Fit on pieces of some training readers, choose the threshold on the others, and write both with their card."""
    found = bench.examined("fit", lambda: pieces(bench.readers("voxceleb12")))
    rows = np.flatnonzero([one.embedding is not None for _, one in found])
    names = sorted({speaker for speaker, _ in found})
    speakers = np.array([names.index(found[row][0]) for row in rows])
    halves, in_noise = rows // PIECES, rows % PIECES >= CLEAN_PIECES  # two halves a reader
    first, second = np.triu_indices(len(rows), 1)
    apart = halves[first] != halves[second]  # pieces of one half overlap
    first, second = first[apart], second[apart]
    embeddings = np.stack([found[row][1].embedding for row in rows])
    pairs = Pairs.of(embeddings, [found[row][1].quality for row in rows], speakers, first, second)
    num_noisy = in_noise[first].astype(int) + in_noise[second]
    dealt = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    fitted, held = pairs.among(dealt[:NUM_FITTED]), pairs.chosen(pairs.is_among(dealt[NUM_FITTED:]))
    num_noisy = num_noisy[pairs.is_among(dealt[NUM_FITTED:])]
    llr = fit_pairs(fitted)
    ratios = apply(llr, held)
    rate = choose_rate(ratios, held, num_noisy)
    card = {
        "fitted_on": {
            "corpus": "Mini LibriSpeech, voxceleb12: readers of English books, one recording each (CC BY 4.0)",
            "pieces": f"{PIECES} of each half of a recording, {PIECE_S[0]:g} to {PIECE_S[1]:g} s, {CLEAN_PIECES} of "
            f"them as they are, the others with computed noise or babble at {FIT_SNR_DB[0]:g} to {FIT_SNR_DB[1]:g} dB",
            "num_speakers": NUM_FITTED,
            "num_pieces": int(np.isin(speakers, dealt[:NUM_FITTED]).sum()),
            "num_pairs": len(fitted.is_target),
            "num_targets": int(fitted.is_target.sum()),
            "ridge": RIDGE,
        },
        "threshold_chosen_on": {
            "readers": "the others of the same corpus, pieces of the same kind",
            "num_speakers": len(names) - NUM_FITTED,
            "num_pairs": len(held.is_target),
            "num_targets": int(held.is_target.sum()),
            "criterion": f"the least ratio, 2 or more, at which at most {MOST_FALSE_ACCEPTS:.1%} of the pairs of "
            "different readers are accepted among clean pieces, among noisy ones, and between both",
            "least_cosine": f"the least hundredth above {MANDARIN}, the highest score known of two Mandarin speakers",
            "rates": rates_at(rate, ratios, held, num_noisy),
        },
        "cannot_show": CANNOT_SHOW,
        "made_by": "benchmarks/verification.py fit",
    }
    print(llr.formula())
    print(json.dumps(card["threshold_chosen_on"], indent=2))
    bands = bands_of([one.quality for _, one in found])
    made = PairCalibration(
        DEFAULT_MODEL, fingerprint_of(bench.embedder), llr, LEAST_COSINE, WHY, card, rate, bands=bands
    )
    made.save(to)
    print(f"written: {to}")


def choose_rate(ratios: np.ndarray, pairs: Pairs, num_noisy: np.ndarray) -> float:
    """Return the greatest rate of false accepts, two digits, whose threshold ln(1 / rate) keeps to the criterion.

    The criterion was written down before any test reader was compared by it: of the pairs of different readers at most
    MOST_FALSE_ACCEPTS are accepted, of each of KINDS for itself. A higher threshold has more false rejects, so the
    lowest one is the best that keeps to it. LEAST_COSINE holds as well.
    """
    needed = RATES[1]
    for kind in range(len(KINDS)):
        is_other = ~pairs.is_target & (num_noisy == kind)
        reached = np.sort(ratios[is_other & (pairs.inputs[:, 0] >= LEAST_COSINE)])[::-1]
        allowed = int(MOST_FALSE_ACCEPTS * np.count_nonzero(is_other))
        if len(reached) > allowed:  # the next one must not be accepted
            needed = min(needed, float(np.exp(-reached[allowed])))
    digits = 10.0 ** (np.floor(np.log10(needed)) - 1)
    return float(np.ceil(needed / digits - 1) * digits) if needed < RATES[1] else needed


def rates_at(rate: float, ratios: np.ndarray, pairs: Pairs, num_noisy: np.ndarray) -> dict:
    """Return what a threshold of ln(1 / rate) does on pairs, for each of KINDS."""
    is_accepted = (ratios >= -np.log(rate)) & (pairs.inputs[:, 0] >= LEAST_COSINE)
    found = {}
    for number, kind in enumerate(KINDS):
        is_kind = num_noisy == number
        measured = measure_llr(ratios[is_kind], pairs.is_target[is_kind])
        found[kind] = {
            "num_targets": int(pairs.is_target[is_kind].sum()),
            "num_nontargets": int((~pairs.is_target[is_kind]).sum()),
            "false_accepts": float(is_accepted[is_kind & ~pairs.is_target].mean()),
            "false_rejects": 1 - float(is_accepted[is_kind & pairs.is_target].mean()),
            "eer": measured.eer,
            "cllr": measured.cllr,
            "min_cllr": measured.min_cllr,
        }
    return found


def pieces(readers: list[Recording]) -> Iterator[Recording]:
    """Yield pieces of both halves of each reader's recording: some as they are, some noisy."""
    waveforms = [waveform for _, waveform in readers]
    for number, (speaker, waveform) in enumerate(readers):
        rng = np.random.default_rng([FIT_SEED, number])
        middle = len(waveform) // 2
        for half in (waveform[:middle], waveform[middle:]):
            for count in range(PIECES):
                duration_s = min(np.exp(rng.uniform(*np.log(PIECE_S))), len(half) / RATE)
                num_samples = int(duration_s * RATE)
                start = rng.integers(0, len(half) - num_samples + 1)
                piece = half[start : start + num_samples]
                if count < CLEAN_PIECES:
                    yield speaker, piece
                    continue
                kind, snr_db = str(rng.choice([*GENERATED, "babble"])), rng.uniform(*FIT_SNR_DB)
                if kind == "babble":
                    others = [other for other in rng.choice(len(readers), 5, replace=False) if other != number]
                    noise = babble(rng, num_samples, [waveforms[other] for other in others])
                else:
                    noise = generated_noise(rng, num_samples, kind)
                yield speaker, at_snr(piece, noise, snr_db)


# What it is worth


def accept(bench: Bench, to: Path) -> None:
    """Answer all trials of the test readers' first seconds, clean and in noise; then recordings without speech."""
    rule = PairCalibration.open(SHIPPED, bench.embedder)
    results = stored(to)
    results["settings"] = {"model": DEFAULT_MODEL, "seconds": TEST_S, "snr_db": TEST_SNR_DB, "calibration": rule.card}
    for name, change in (("clean", as_it_is), (f"noise at {TEST_SNR_DB:g} dB", in_noise(bench.waveforms("noise")))):
        results[name] = answers(rule, bench.examined(name.replace(" ", "_"), lambda c=change: cuts(bench, c)))
        print(name, json.dumps(results[name], indent=2))
    without = bench.examined("without_speech", lambda: without_speech(bench.readers("voxceleb1")))
    speech = bench.examined("clean", lambda: cuts(bench, as_it_is))
    results["without speech"] = {
        "num_recordings": len(without),
        "num_compared_with_speech": sum(decide(rule, one, speech[0][1]).score is not None for _, one in without),
        "num_accepted_among_themselves": sum(
            decide(rule, one, other).answer == ACCEPT for _, one in without for _, other in without
        ),
        "num_accepted_with_speech": sum(
            decide(rule, one, other).answer == ACCEPT for _, one in without for _, other in speech
        ),
    }
    print("without speech", json.dumps(results["without speech"], indent=2))
    write_json(to, results)


def answers(rule: PairCalibration, found: list[tuple[str, Examined]]) -> dict:
    """Return rates of wrong answers in all pairs; whatever is not accepted of one person is a false reject."""
    counts = {True: {}, False: {}}
    ratios, truth = [], []
    for number, (speaker, one) in enumerate(found):
        for other_speaker, other in found[number + 1 :]:
            decision, same = decide(rule, one, other), speaker == other_speaker
            counts[same][decision.answer] = counts[same].get(decision.answer, 0) + 1
            if decision.llr is not None:
                ratios.append(decision.llr)
                truth.append(same)
    measures = measure_llr(np.array(ratios), np.array(truth))
    targets, others = sum(counts[True].values()), sum(counts[False].values())
    return {
        "num_targets": targets,
        "num_nontargets": others,
        "not_judged": sum(one.problem is not None for _, one in found),
        "false_accepts": counts[False].get(ACCEPT, 0) / others,
        "false_rejects": 1 - counts[True].get(ACCEPT, 0) / targets,
        "targets_answered_different": counts[True].get(REJECT, 0) / targets,
        "nontargets_answered_different": counts[False].get(REJECT, 0) / others,
        "eer": measures.eer,
        "cllr": measures.cllr,
        "min_cllr": measures.min_cllr,
    }


def as_it_is(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return waveform


def in_noise(noises: list[np.ndarray], snr_db: float = TEST_SNR_DB) -> Callable:
    """Return a change that adds one of the recorded noises."""

    def change(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = noises[rng.integers(len(noises))]
        return at_snr(waveform, np.resize(np.roll(noise, int(rng.integers(len(noise)))), len(waveform)), snr_db)

    return change


def cuts(bench: Bench, change: Callable, seconds: float = TEST_S) -> Iterator[Recording]:
    """Yield the first seconds of each recording of the test readers, changed."""
    for number, (speaker, waveform) in enumerate(bench.readers("voxceleb1")):
        yield speaker, change(waveform[: int(seconds * RATE)], np.random.default_rng([NOISE_SEED, number]))


def without_speech(readers: list[Recording]) -> Iterator[Recording]:
    """Yield recordings of 3 s: silence, tones, noise, what is like music, and 0.3 s of speech in noise."""
    length = int(TEST_S * RATE)
    times = np.arange(length) / RATE
    for number in range(NUM_WITHOUT_SPEECH):
        rng = np.random.default_rng([SILENCE_SEED, number])
        kind = ("silence", "tone", "noise", "music", "word")[number % 5]
        if kind == "silence":
            waveform = 10 ** rng.uniform(-5, -3.5) * rng.standard_normal(length)
        elif kind == "tone":
            waveform = rng.uniform(0.05, 0.8) * np.sin(2 * np.pi * rng.uniform(80, 3000) * times)
        elif kind == "noise":
            waveform = generated_noise(rng, length, str(rng.choice(GENERATED)))
            waveform *= rng.uniform(0.05, 0.5) / np.abs(waveform).max()
        elif kind == "music":
            waveform = melody(rng, length)
        else:
            waveform = 1e-3 * rng.standard_normal(length)
            _, spoken = readers[rng.integers(len(readers))]
            start, at = rng.integers(len(spoken) - 4800), rng.integers(length - 4800)
            waveform[at : at + 4800] += spoken[start : start + 4800]
        yield kind, waveform.astype(np.float32)


def melody(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return chords of decaying harmonics, four a second."""
    waveform = np.zeros(length)
    note = RATE // 4
    times = np.arange(note) / RATE
    for start in range(0, length - note + 1, note):
        for half_tones in rng.choice([0, 3, 4, 7, 12], 3, replace=False):
            pitch = 110 * 2 ** (rng.integers(0, 12) / 12 + half_tones / 12)
            for harmonic in range(1, 7):
                waveform[start : start + note] += (
                    np.sin(2 * np.pi * pitch * harmonic * times) * np.exp(-6 * times) / harmonic
                )
    return 0.4 * waveform / np.abs(waveform).max()


# How far conditions move scores


def moves(bench: Bench, to: Path) -> None:
    """Compare each test reader's clean cuts with changed ones, and changed ones with each other."""
    rule = PairCalibration.open(SHIPPED, bench.embedder)
    noises, rooms = bench.waveforms("noise"), bench.waveforms("rir")
    conditions: dict[str, tuple[Callable, float]] = {
        "as it is": (as_it_is, TEST_S),
        "noise, 20 dB": (in_noise(noises, 20.0), TEST_S),
        "noise, 10 dB": (in_noise(noises, 10.0), TEST_S),
        "noise, 0 dB": (in_noise(noises, 0.0), TEST_S),
        "a room": (lambda waveform, rng: in_room(waveform, rooms[rng.integers(len(rooms))]), TEST_S),
        "8 kHz": (lambda waveform, rng: narrow_band(waveform), TEST_S),
        "telephone (G.711)": (lambda waveform, rng: telephone(waveform), TEST_S),
        "MP3, 19 kbit/s": (lambda waveform, rng: coded(waveform, "MP3", "MPEG_LAYER_III", 0.99), TEST_S),
        "Opus, 9 kbit/s": (lambda waveform, rng: coded(waveform, "OGG", "OPUS", 0.99), TEST_S),
        "clipped": (lambda waveform, rng: clipped(waveform), TEST_S),
        "30 dB softer": (lambda waveform, rng: softer(waveform), TEST_S),
        "cut to 1.5 s": (as_it_is, 1.5),
        "cut to 2 s": (as_it_is, 2.0),
        "cut to 5 s": (as_it_is, 5.0),
    }
    clean = bench.examined("clean", lambda: cuts(bench, as_it_is))
    results = stored(to)
    table = {}
    for name, (change, seconds) in conditions.items():
        key = "moves_" + "".join(letter if letter.isalnum() else "_" for letter in name)
        changed = bench.examined(key, lambda c=change, s=seconds: cuts(bench, c, s))
        table[name] = {"with clean": moved(rule, clean, changed), "with each other": moved(rule, changed, changed)}
        print(name, json.dumps(table[name]), flush=True)
    results["moves"] = table
    write_json(to, results)
    print(markdown(table))


# Enrolled speakers


def speakers(bench: Bench, to: Path) -> None:
    """Enrol each test reader by a few cuts, in several ways, and compare the other cuts of all readers with each.

    Two other ratios are given beside the one that is used, the mean over the enrolled cuts: their sum, and the ratio of
    the cosine with the centroid as if that were one recording with the best qualities of all.
    """
    rule = PairCalibration.open(SHIPPED, bench.embedder)
    results = stored(to)
    table = {}
    for name, change in (("clean", as_it_is), (f"noise at {TEST_SNR_DB:g} dB", in_noise(bench.waveforms("noise")))):
        found = bench.examined(name.replace(" ", "_"), lambda c=change: cuts(bench, c))
        usable = [(speaker, one) for speaker, one in found if one.problem is None]
        for num_enrolled in NUM_ENROLLED:
            table[f"{name}, {num_enrolled} enrolled"] = enrolled_rates(rule, usable, num_enrolled)
            print(name, num_enrolled, json.dumps(table[f"{name}, {num_enrolled} enrolled"]), flush=True)
    results["speakers"] = table
    write_json(to, results)


def enrolled_rates(rule: PairCalibration, found: list[tuple[str, Examined]], num_enrolled: int) -> dict:
    """Return rates of wrong answers, and Cllr of each way to a ratio, over ENROLMENTS drawn enrolments a reader."""
    names = sorted({speaker for speaker, _ in found})
    ratios: dict[str, list[float]] = {"mean": [], "sum": [], "centroid": []}
    truth, accepted = [], []
    for name in names:
        own = [row for row, (speaker, _) in enumerate(found) if speaker == name]
        for draw in range(ENROLMENTS):
            rng = np.random.default_rng([ENROL_SEED, names.index(name), draw])
            chosen = rng.choice(own, num_enrolled, replace=False).tolist()
            samples = [Sample(found[row][1].embedding, quality=found[row][1].quality) for row in chosen]
            best = replace(
                samples[0].quality,
                net_speech_s=sum(sample.quality.net_speech_s for sample in samples),
                snr_db=max(sample.quality.snr_db for sample in samples),
            )
            for row in set(range(len(found))) - set(chosen):
                speaker, one = found[row]
                mean = compare(rule, one.embedding, one.quality, samples)
                as_one = rule.judge(cosine(one.embedding, centroid_of(samples)), (one.quality, best))
                if mean.verdict.llr is None or as_one.llr is None:
                    continue
                truth.append(speaker == name)
                accepted.append(mean.verdict.answer == ACCEPT)
                ratios["mean"].append(mean.verdict.llr)
                ratios["sum"].append(num_enrolled * mean.verdict.llr)
                ratios["centroid"].append(as_one.llr)
    is_target, is_accepted = np.array(truth), np.array(accepted)
    measures = {way: measure_llr(np.array(values), is_target) for way, values in ratios.items()}
    return {
        "num_targets": int(is_target.sum()),
        "num_nontargets": int((~is_target).sum()),
        "false_accepts": float(is_accepted[~is_target].mean()),
        "false_rejects": 1 - float(is_accepted[is_target].mean()),
        "greatest_nontarget_llr": {way: float(np.array(values)[~is_target].max()) for way, values in ratios.items()},
        "cllr": {way: measured.cllr for way, measured in measures.items()},
        "min_cllr": {way: measured.min_cllr for way, measured in measures.items()},
    }


def softer(waveform: np.ndarray) -> np.ndarray:
    """Turn down by 30 dB, in 16 bits."""
    return (np.round(waveform * 10**-1.5 * 32768) / 32768).astype(np.float32)


def clipped(waveform: np.ndarray) -> np.ndarray:
    """Overdrive: a twentieth of the samples at full scale."""
    limit = np.float32(np.quantile(np.abs(waveform), 0.95))
    return np.clip(waveform, -limit, limit) / limit


def moved(rule: PairCalibration, first: list[tuple[str, Examined]], second: list[tuple[str, Examined]]) -> dict:
    """Return scores and answers between two versions of the same recordings, of which no recording meets itself."""
    of_any_band = replace(rule, bands=BANDS)
    scores = {True: [], False: []}
    accepted = {True: 0, False: 0}
    as_if_known = 0
    count = {True: 0, False: 0}
    for row, (speaker, one) in enumerate(first):
        for column, (other_speaker, other) in enumerate(second):
            if row == column or (first is second and column < row):
                continue
            same = speaker == other_speaker
            count[same] += 1
            decision = decide(rule, one, other)
            accepted[same] += decision.answer == ACCEPT
            as_if_known += not same and decide(of_any_band, one, other).answer == ACCEPT
            if decision.score is not None:
                scores[same].append(decision.score)
    return {
        "median_same": float(np.median(scores[True])) if scores[True] else None,
        "median_different": float(np.median(scores[False])) if scores[False] else None,
        "highest_different": max(scores[False], default=None),
        "accepted_same": accepted[True] / count[True],
        "accepted_different": accepted[False] / count[False],
        "accepted_different_of_any_band": as_if_known / count[False],
        "not_judged": sum(one.problem is not None for _, one in second),
    }


def markdown(table: dict) -> str:
    """Return the table of docs/verify.md."""
    lines = [
        "| | with clean: one person, median | two people, median, highest | accepted, one, two "
        "| with each other: one person, median | two people, median, highest | accepted, one, two | not judged |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, both in table.items():
        cells = [name]
        for one in (both["with clean"], both["with each other"]):
            same, other, highest = (
                "-" if one[key] is None else f"{one[key]:.2f}"
                for key in ("median_same", "median_different", "highest_different")
            )
            cells += [same, f"{other}, {highest}", f"{one['accepted_same']:.1%}, {one['accepted_different']:.2%}"]
        lines.append(f"| {' | '.join(cells)} | {one['not_judged']} of 60 |")
    return "\n".join(lines)


def stored(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
