"""Recordings of every broken and odd kind, with the verdict that each must get in Python and in C++.

`write_all(folder)` writes them. A verdict is "" for a usable recording, else the beginning of the reason. Limits are
the defaults: min_duration 0.1 s, max_clipped_fraction 0.2.

Second variants, which the issue's text does not name: a data size of 0 with a RIFF size of 0, or behind a LIST chunk;
an entry of a LIST that is too long; 36 bytes too great and a block too great; ADPCM and ALAC beside GSM; an MP3 of
changing rate without its table; silence with an offset and dither; the same kinds as FLAC, AIFF, OGG. Of several
streams in one file: tags, damage and another codec between them, an MP3 without its table before or behind.
"""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 16000
NOISE = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
TONES = (0.05 * NOISE + 0.2 * np.sin(0.1 * np.arange(RATE))).astype(np.float32)  # for lossy codecs
LONG = np.tile(TONES, 10)
SAMPLES = (NOISE * 32767).astype("<i2").tobytes()


class Case(NamedTuple):
    """A file to write.

    Attributes:
        make: writes it to a path.
        verdict: "" or the beginning of the reason.
        num_samples: at 16 kHz in one channel, of a usable one; 0: not checked.
        is_converted: not 16 kHz mono.
        wrong_length: usable, although its header gives another length.
    """

    make: Callable[[Path], object]
    verdict: str = ""
    num_samples: int = 0
    is_converted: bool = False
    wrong_length: bool = False


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> None:
    soundfile.write(path, samples, rate, **options)


def encoded(samples: np.ndarray, rate: int = RATE, **options) -> bytes:
    """Return the bytes of a file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **options)
    return stream.getvalue()


def with_list(size: int, order: str = "<") -> bytes:
    """Return a WAV with a LIST chunk of two entries, the second of a name that is not known, and of this size."""
    entries = b"INFOISFT" + struct.pack(f"{order}I", 4) + b"abc\0XXXX" + struct.pack(f"{order}I", size) + bytes(120)
    form = struct.pack(f"{order}HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    samples = np.frombuffer(SAMPLES, "<i2").astype(f"{order}i2").tobytes()
    parts = ((b"fmt ", form), (b"LIST", entries), (b"data", samples))
    body = b"WAVE" + b"".join(name + struct.pack(f"{order}I", len(part)) + part for name, part in parts)
    return (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", len(body)) + body


def audio(samples: np.ndarray, rate: int = RATE, **options) -> Callable[[Path], None]:
    return lambda path: write(path, samples, rate, **options)


def content(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def changed(start: int, other: bytes) -> Callable[[Path], None]:
    """Return what writes a good file with other bytes at a place."""

    def make(path: Path) -> None:
        write(path, NOISE)
        with open(path, "r+b") as stream:
            stream.seek(start)
            stream.write(other)

    return make


def cut(share: float, samples: np.ndarray = NOISE, **options) -> Callable[[Path], None]:
    """Return what writes the first part of a file."""

    def make(path: Path) -> None:
        write(path, samples, **options)
        os.truncate(path, int(path.stat().st_size * share))

    return make


def with_sample(value: float, **options) -> Callable[[Path], None]:
    samples = NOISE.copy()
    samples[5000] = value
    return audio(samples, **options)


def riff(*chunks: bytes, size: int = -1) -> bytes:
    """Return a RIFF file; `size` is what its header says, -1 the truth."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size < 0 else size) + body


def chunk(name: bytes, body: bytes, size: int = -1) -> bytes:
    return name + struct.pack("<I", len(body) if size < 0 else size) + body


def wav_format(code: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    block = max(1, channels * bits // 8)
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits))


def without_mp3_table(samples: np.ndarray, **options) -> bytes:
    """Return an MP3 without the frame that gives its length (Xing, Info), as recorders write it."""
    data = encoded(samples, format="MP3", **options)
    header = data[:4]
    second = data.index(header[:2], 4)
    assert b"Xing" in data[:second] or b"Info" in data[:second]
    return data[second:]


def without_last_page(samples: np.ndarray, **options) -> bytes:
    data = encoded(samples, format="OGG", **options)
    return data[: data.rindex(b"OggS")]


def damaged_flac(path: Path) -> None:
    write(path, NOISE)
    with open(path, "r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"\xff\x00" * 200)


def flac_without_length() -> bytes:
    data = bytearray(encoded(NOISE, format="FLAC"))
    data[21] &= 0xF0  # STREAMINFO's 36 bits of total samples
    data[22:26] = bytes(4)
    return bytes(data)


def media(container: str, codec: str, channels: int = 1, rate: int = RATE, samples: np.ndarray = TONES) -> Callable:
    """Return what writes a file by PyAV, all channels alike."""

    def make(path: Path) -> None:
        import av

        with av.open(str(path), "w", format=container) as out:
            layout = "mono" if channels == 1 else "stereo"
            stream = out.add_stream(codec, rate=rate, layout=layout)
            stream.bit_rate = 32000 * channels
            frame = av.AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = 0
            fifo = av.AudioResampler(stream.codec_context.format.name, layout, rate, stream.codec_context.frame_size)
            for piece in [*fifo.resample(frame), *fifo.resample(None)]:
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))

    return make


DITHER = np.random.default_rng(1).integers(-1, 2, RATE) / 32768
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x14" + b"TIT2\x00\x00\x00\x0a\x00\x00\x00" + b"recording"  # 10 + 20 bytes
LIST = chunk(b"LIST", b"INFOISFT\x04\x00\x00\x00abc\x00")
MP3_SAMPLES = 280 * 576  # of all frames: without its table the encoder's delay is not known
STEREO = np.stack([NOISE, NOISE], axis=1)

VORBIS = encoded(LONG, format="OGG", subtype="VORBIS")
OPUS = encoded(LONG, format="OGG", subtype="OPUS")
MP3 = encoded(LONG, format="MP3")
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + bytes(24 + 500)
CHANGES = "rate or channels change within it"

CASES: dict[str, Case] = {
    # not audio
    "empty.wav": Case(content(b""), "empty file"),
    "empty_too.flac": Case(content(b""), "empty file"),
    "empty_too_mp3.mp3": Case(content(b""), "empty file"),
    "text.wav": Case(content(b"no audio\n" * 100), "not a readable audio file"),
    "text_too.flac": Case(content(b"no audio\n" * 100), "not a readable audio file"),
    "text_too_ogg.ogg": Case(content(b"no audio\n" * 100), "not a readable audio file"),
    "html.wav": Case(content(b"<html>404 Not Found</html>"), "not a readable audio file"),
    "random.wav": Case(content(np.random.default_rng(1).bytes(9999)), "not a readable audio file"),
    "zeros_bytes.wav": Case(content(bytes(9999)), "not a readable audio file"),
    # broken headers
    "riff_alone.wav": Case(content(b"RIFF"), "not a readable audio file"),
    "no_format.wav": Case(content(riff(chunk(b"data", SAMPLES))), "not a readable audio file"),
    "no_data.wav": Case(content(riff(wav_format())), "not a readable audio file"),
    "no_samples.wav": Case(audio(NOISE[:0]), "no samples"),
    "no_samples_but_list.wav": Case(content(riff(wav_format(), chunk(b"data", b""), LIST)), "no samples"),
    "no_channels.wav": Case(content(riff(wav_format(1, 0), chunk(b"data", SAMPLES))), "not a readable audio file"),
    "rate_zero.wav": Case(content(riff(wav_format(1, 1, 0), chunk(b"data", SAMPLES))), "not a readable audio file"),
    "rate_one.wav": Case(content(riff(wav_format(1, 1, 1), chunk(b"data", SAMPLES))), "1 Hz: expected 2000 to 768000"),
    "rate_huge.wav": Case(audio(NOISE, 800000), "800000 Hz: expected 2000 to 768000"),
    "unknown_codec.wav": Case(content(riff(wav_format(0x7777), chunk(b"data", SAMPLES))), "not a readable audio file"),
    "cut_header.wav": Case(cut(0.001), "not a readable audio file"),
    "damaged_magic.flac": Case(changed(0, b"fLaX"), "not a readable audio file"),
    # truncated
    "cut.wav": Case(cut(0.5), "truncated"),
    "cut_5000_bytes.wav": Case(content(riff(wav_format(), chunk(b"data", SAMPLES))[:-5000]), "truncated"),
    "cut_long.wav": Case(cut(0.9, LONG), "truncated"),
    "cut_too.flac": Case(cut(0.5, format="FLAC"), "truncated or damaged"),
    "cut_too_aiff.aiff": Case(cut(0.5), "truncated"),
    "cut_too_au.au": Case(cut(0.5), "truncated"),
    "cut_too_w64.w64": Case(cut(0.5), "truncated"),
    "cut_too_rf64.rf64": Case(cut(0.5, format="RF64"), "truncated"),
    "cut_gsm.wav": Case(cut(0.2, LONG, subtype="GSM610"), "truncated"),
    "cut_too_mp3.mp3": Case(cut(0.5, LONG), "truncated"),
    "cut_too_ogg.ogg": Case(content(without_last_page(LONG, subtype="VORBIS")), "truncated"),
    "cut_too_opus.opus": Case(content(without_last_page(LONG, subtype="OPUS")), "truncated"),
    "cut_chain.ogg": Case(content(VORBIS + VORBIS[: len(VORBIS) // 2]), "truncated"),
    "cut_joined.mp3": Case(content(MP3 + MP3[: len(MP3) // 2]), "truncated"),
    # several streams of different kinds
    "chain_of_two_rates.ogg": Case(content(VORBIS + encoded(LONG, 8000, format="OGG", subtype="VORBIS")), CHANGES),
    "chain_of_mono_and_stereo.opus": Case(content(OPUS + encoded(STEREO, format="OGG", subtype="OPUS")), CHANGES),
    "chain_with_other_content.ogg": Case(content(VORBIS + OPUS.replace(b"Opus", b"Text")), "not a readable audio file"),
    "joined_of_two_rates.mp3": Case(content(MP3 + encoded(LONG, 24000, format="MP3")), CHANGES),
    "joined_of_mono_and_stereo.mp3": Case(content(MP3 + encoded(STEREO, format="MP3")), CHANGES),
    "joined_of_two_rates_without_table.mp3": Case(
        content(without_mp3_table(LONG) + without_mp3_table(LONG, rate=24000)), CHANGES
    ),
    "joined_of_mono_and_stereo_without_table.mp3": Case(
        content(without_mp3_table(LONG) + without_mp3_table(np.stack([LONG, LONG], axis=1))), CHANGES
    ),
    "damaged.flac": Case(damaged_flac, "truncated or damaged"),
    # values
    "nan.wav": Case(with_sample(np.nan, subtype="FLOAT"), "NaN or infinite"),
    "nan_double.w64": Case(with_sample(np.nan, subtype="DOUBLE"), "NaN or infinite"),
    "infinite.wav": Case(with_sample(np.inf, subtype="FLOAT"), "NaN or infinite"),
    "minus_infinite.wav": Case(with_sample(-np.inf, subtype="FLOAT"), "NaN or infinite"),
    "unscaled.wav": Case(audio(3000 * NOISE, subtype="FLOAT"), "samples reach"),
    "silence.wav": Case(audio(0 * NOISE), "constant signal"),
    "direct_current.wav": Case(audio(np.full(RATE, 0.25, np.float32)), "constant signal"),
    "full_scale.flac": Case(audio(np.ones(RATE, np.float32)), "constant signal"),
    "opposite_channels.wav": Case(audio(np.stack([NOISE, -NOISE], axis=1)), "its channels cancel"),
    "dither.wav": Case(audio(DITHER), "silent"),
    "dither_flac.flac": Case(audio(DITHER), "silent"),
    "dither_and_offset.wav": Case(audio(0.01 + DITHER), "silent"),
    "dither_8khz.wav": Case(audio(DITHER, 8000), "silent"),
    "clipped.wav": Case(audio(np.clip(100 * NOISE, -1, 1)), "clipped"),
    "square.wav": Case(audio(np.where(NOISE > 0, 1.0, -1.0)), "clipped: 100.0% of its samples"),
    "one_sample.wav": Case(audio(NOISE[:1]), "too short"),
    "too_short.wav": Case(audio(NOISE[:1599]), "too short: 0.100 s"),
    "too_short_8khz.flac": Case(audio(NOISE[:799], 8000), "too short"),
    # usable
    "good.wav": Case(audio(NOISE), num_samples=RATE),
    "GOOD.WAV": Case(audio(NOISE, format="WAV"), num_samples=RATE),
    "Good.Flac": Case(audio(NOISE, format="FLAC"), num_samples=RATE),
    "just_long_enough.wav": Case(audio(NOISE[:1600]), num_samples=1600),
    "quiet.wav": Case(audio(np.round(60 * NOISE) / 32768), num_samples=RATE),
    "good_24.wav": Case(audio(NOISE, subtype="PCM_24"), num_samples=RATE),
    "good_8.wav": Case(audio(NOISE, subtype="PCM_U8"), num_samples=RATE),
    "good_float.wav": Case(audio(NOISE, subtype="FLOAT"), num_samples=RATE),
    "good_ulaw.wav": Case(audio(NOISE, subtype="ULAW"), num_samples=RATE),
    "good_ulaw_8khz.au": Case(audio(NOISE, 8000, subtype="ULAW"), num_samples=2 * RATE, is_converted=True),
    "good_aiff.aiff": Case(audio(NOISE), num_samples=RATE),
    "good_aif.AIF": Case(audio(NOISE, format="AIFF"), num_samples=RATE),
    "good_w64.w64": Case(audio(NOISE), num_samples=RATE),
    "good_rf64.rf64": Case(audio(NOISE, format="RF64"), num_samples=RATE),
    "good_caf.caf": Case(audio(NOISE), num_samples=RATE),
    "good_mp3.mp3": Case(audio(LONG), num_samples=10 * RATE),
    "good_ogg.ogg": Case(audio(LONG, subtype="VORBIS"), num_samples=10 * RATE),
    "good_opus.opus": Case(audio(LONG, format="OGG", subtype="OPUS"), num_samples=10 * RATE),
    "stereo.wav": Case(audio(STEREO), num_samples=RATE, is_converted=True),
    "eight_channels.wav": Case(audio(np.stack([NOISE] * 8, axis=1)), num_samples=RATE, is_converted=True),
    "8khz.wav": Case(audio(NOISE, 8000), num_samples=2 * RATE, is_converted=True),
    "44khz.flac": Case(audio(NOISE, 44100), num_samples=5805, is_converted=True),
    "383987hz.wav": Case(audio(np.tile(NOISE, 10), 383987), num_samples=6668, is_converted=True),
    "22051hz.wav": Case(audio(NOISE, 22051), num_samples=11610, is_converted=True),
    "44khz_stereo.mp3": Case(audio(np.stack([LONG, LONG], axis=1), 44100), num_samples=58050, is_converted=True),
    # usable, although they cannot seek
    "gsm.wav": Case(audio(LONG, subtype="GSM610"), num_samples=10 * RATE),
    "gsm_8khz.wav": Case(audio(LONG, 8000, subtype="GSM610"), num_samples=20 * RATE, is_converted=True),
    "ima_adpcm.wav": Case(audio(LONG, subtype="IMA_ADPCM")),
    "ms_adpcm.wav": Case(audio(LONG, subtype="MS_ADPCM")),
    "g721.wav": Case(audio(LONG, subtype="G721_32")),
    "g723.au": Case(audio(LONG, subtype="G723_24")),
    "gsm_aiff.aiff": Case(audio(LONG, subtype="GSM610")),
    "dwvw.aiff": Case(audio(NOISE, subtype="DWVW_16"), num_samples=RATE),
    # libsndfile 1.2.2 never returns from opening these
    "list_that_goes_back.wav": Case(content(with_list(0xFFFFFFF8)), "not a readable audio file (damaged LIST chunk)"),
    "list_that_goes_back_in_big_endian.wav": Case(
        content(with_list(0xFFFFFFF8, ">")), "not a readable audio file (damaged LIST chunk)"
    ),
    "list_with_an_entry_too_long.wav": Case(content(with_list(5000)), num_samples=RATE),
    "alac.caf": Case(audio(LONG, subtype="ALAC_16"), num_samples=10 * RATE),
    # usable, although libsndfile would read the first stream alone
    "chain.ogg": Case(content(VORBIS + VORBIS), num_samples=20 * RATE),
    "chain_opus.opus": Case(content(3 * OPUS), num_samples=30 * RATE),
    "chain_of_two_codecs.ogg": Case(content(VORBIS + OPUS), num_samples=20 * RATE),
    "chain_with_damage.ogg": Case(content(VORBIS + b"damage" + VORBIS), num_samples=20 * RATE),
    "joined.mp3": Case(content(MP3 + MP3), num_samples=20 * RATE),
    "joined_with_tags.mp3": Case(content(ID3 + MP3 + APE + ID3V1 + ID3 + MP3 + ID3V1), num_samples=20 * RATE),
    "joined_with_one_without_table.mp3": Case(
        content(MP3 + without_mp3_table(LONG)), num_samples=10 * RATE + MP3_SAMPLES
    ),
    "joined_without_table.mp3": Case(content(2 * without_mp3_table(LONG)), num_samples=2 * MP3_SAMPLES),
    # usable, although the header gives another length, or none
    "mp3_of_one_rate_without_table.mp3": Case(
        content(without_mp3_table(LONG, bitrate_mode="CONSTANT", compression_level=0.5)), num_samples=MP3_SAMPLES
    ),
    "mp3_of_changing_rate_without_table.mp3": Case(content(without_mp3_table(LONG)), num_samples=MP3_SAMPLES),
    "size_zero.wav": Case(content(riff(wav_format(), chunk(b"data", SAMPLES, 0))), num_samples=RATE, wrong_length=True),
    "all_sizes_zero.wav": Case(
        content(riff(wav_format(), chunk(b"data", SAMPLES, 0), size=0)), num_samples=RATE, wrong_length=True
    ),
    "size_zero_behind_list.wav": Case(
        content(riff(wav_format(), LIST, chunk(b"data", SAMPLES, 0))), num_samples=RATE, wrong_length=True
    ),
    "size_36_too_great.wav": Case(
        content(riff(wav_format(), chunk(b"data", SAMPLES, len(SAMPLES) + 36))), num_samples=RATE, wrong_length=True
    ),
    "size_4096_too_great.wav": Case(
        content(riff(wav_format(), chunk(b"data", SAMPLES, len(SAMPLES) + 4096))), num_samples=RATE, wrong_length=True
    ),
    "from_a_pipe.wav": Case(content(riff(wav_format(), chunk(b"data", SAMPLES, 0xFFFFFFFF))), num_samples=RATE),
    "behind_id3.flac": Case(content(ID3 + encoded(NOISE, format="FLAC")), num_samples=RATE),
    "behind_id3_mp3.mp3": Case(content(ID3 + encoded(LONG, format="MP3")), num_samples=10 * RATE),
    "no_length.flac": Case(content(flac_without_length()), num_samples=RATE),
}

# Read by PyAV where it is installed; elsewhere, and in C++, the reason begins with the suffix: "m4a: ...".
MEDIA_CASES: dict[str, Case] = {
    "good_m4a.m4a": Case(media("ipod", "aac", samples=LONG)),
    "Good_m4a.M4A": Case(media("ipod", "aac", samples=LONG)),
    "stereo_m4a.m4a": Case(media("ipod", "aac", 2, samples=LONG), is_converted=True),
    "good_aac.aac": Case(media("adts", "aac", samples=LONG)),
    "good_wma.wma": Case(media("asf", "wmav2", samples=LONG)),
    "good_webm.webm": Case(media("webm", "libopus", 1, 48000, LONG), is_converted=True),
    "good_mka.mka": Case(media("matroska", "flac", samples=LONG), num_samples=10 * RATE),
    "silence_m4a.m4a": Case(media("ipod", "aac", samples=0 * LONG), "constant signal"),
    "empty_m4a.m4a": Case(content(b""), "empty file"),
    "text_m4a.m4a": Case(content(b"no audio\n" * 100), "not a readable audio file"),
    "random_amr.amr": Case(content(np.random.default_rng(2).bytes(9999)), "not a readable audio file"),
}


def write_all(folder: Path, cases: dict[str, Case] = CASES) -> None:
    """Write every case below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in cases.items():
        case.make(folder / name)
