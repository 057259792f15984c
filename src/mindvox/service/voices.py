"""The answers of the service, without HTTP: from recordings to decisions, with the workers and the store."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Optional, TypeVar

import numpy as np

from mindvox.decisions import UNUSABLE, Decision, Examined, decide, decision_facts, examined_facts, rule_of
from mindvox.diarization.names import name_speakers
from mindvox.diarization.outputs import as_json
from mindvox.diarization.pipeline import Diarization, count_of
from mindvox.diarization.turns import Turn
from mindvox.embedder import Embedder
from mindvox.engines.engine import Engine
from mindvox.engines.exported import ExportedModel, find_exported
from mindvox.errors import InputError
from mindvox.rules import ACCEPT, INCONCLUSIVE, REJECT, Rule, Thresholds
from mindvox.service import worker
from mindvox.service.pool import Job, Reply, WorkerPool
from mindvox.service.printing import warn
from mindvox.service.problems import ServiceProblem
from mindvox.service.settings import Settings
from mindvox.service.sniff import kind_of
from mindvox.speakers.enrolment import Enrolment, LeftOut, Rules, enrolment_facts
from mindvox.speakers.enrolment import decide as decide_enrolment
from mindvox.speakers.identification import (
    Candidates,
    Identification,
    answer_for_unfit,
    identification_facts,
    identify_embeddings,
    naming_of,
)
from mindvox.speakers.listening import Heard, UnfitRecording
from mindvox.speakers.store import (
    ADD,
    NEW,
    ModelIdentity,
    NoSuchSpeaker,
    NotErased,
    Speaker,
    SpeakerExists,
    SpeakerId,
    SpeakerStore,
    Summary,
    Terms,
    check_name,
    open_store,
)
from mindvox.speakers.transfer import facts as speaker_facts
from mindvox.speakers.verification import verify_speaker
from mindvox.speech.quality import Problem, Quality

Result = TypeVar("Result")
STORE_S = 2.0  # longest time for the store to count its speakers in a readiness check
MEANINGS = {
    ACCEPT: "Both are the same person, by the thresholds.",
    REJECT: "They are different people, by the thresholds.",
    INCONCLUSIVE: "Nothing can be said.",
}


@dataclass(frozen=True)
class Upload:
    """An uploaded recording: the caller's name for it, and its bytes."""

    name: str
    content: bytes


class Voices:
    """The model, the store and the workers.

    Args:
        settings: what to open.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.embedder = describe_model(settings.model)
        self._rule = _rule(self.embedder, settings.threshold, has_quality=True)
        self._cosines = _rule(self.embedder, settings.threshold, has_quality=False)
        self._attempts = asyncio.Lock()  # each attempt checks the failures and is counted before the next one
        # The other workers remain free for short requests.
        self._conversations = threading.Semaphore(max(1, settings.num_workers // 2))
        limits = settings.limits
        self.pool = WorkerPool(
            worker.WorkerSettings(settings.model, settings.engine, limits.max_bytes),
            settings.num_workers,
            limits.max_waiting,
        )
        self.store: SpeakerStore = open_store(settings.store, ModelIdentity.of(self.embedder))

    def start(self) -> None:
        """Start the workers; raise InputError if one cannot start."""
        self.pool.start()

    def close(self) -> None:
        """Finish the waiting jobs, and release the workers and the store."""
        self.pool.close()
        self.store.close()

    async def examine(self, upload: Upload) -> dict[str, Any]:
        """Return the quality of a recording, and any problem."""
        return examined_facts(await self._examine(upload))

    async def verify(self, first: Upload, second: Upload) -> dict[str, Any]:
        """Decide whether two recordings are of the same person."""
        both = await self._examine_all((first, second))
        return _decision(decide(self._rule, *both))

    async def verify_speaker(self, upload: Upload, speaker_id: str) -> dict[str, Any]:
        """Decide whether a recording is of an enrolled speaker; raise ServiceProblem (locked) after failures."""
        who = SpeakerId(speaker_id)
        speaker = await _call(self.store.get, who)
        await self._check_lock(who)
        side = await self._examine(upload)
        decision = verify_speaker(self._rule, self._cosines, side, speaker)
        if decision.score is not None:  # a recording that cannot be used does not count as an attempt
            async with self._attempts:  # of many attempts at once, those after the lock do not count
                await self._check_lock(who)
                await _call(self.store.note_verification, who, decision.answer == ACCEPT)
        answer = _decision(decision)
        return {**answer, "recordings": [examined_facts(side)], "speaker": {"id": speaker.id, "name": speaker.name}}

    async def _check_lock(self, who: SpeakerId) -> None:
        limits = self._settings.limits
        failures = await _call(self.store.failures, who)
        since_s = time.time() - failures.last
        # If the clock was set back, a failure may be in the future; beyond lock_s it is ignored.
        is_recent = -limits.lock_s < since_s < limits.lock_s
        if limits.max_failures and failures.number >= limits.max_failures and is_recent:
            raise ServiceProblem(
                423,
                "locked",
                f"{failures.number} verifications of this speaker failed in a row.",
                retry_after_s=limits.lock_s - since_s,
            )

    async def enrol(self, name: str, terms: Terms, uploads: Sequence[Upload]) -> dict[str, Any]:
        """Enrol a speaker."""
        name = check_name(name)
        if await _call(self.store.ids, [name]):
            raise _already_enrolled()
        return await self._enrol(name, uploads, NEW, terms)

    async def add(self, speaker_id: str, uploads: Sequence[Upload]) -> dict[str, Any]:
        """Add recordings to a speaker."""
        await _call(self.store.get, SpeakerId(speaker_id))
        return await self._enrol(SpeakerId(speaker_id), uploads, ADD, None)

    async def _enrol(
        self, who: "str | SpeakerId", uploads: Sequence[Upload], mode: str, terms: Optional[Terms]
    ) -> dict[str, Any]:
        examined = await self._examine_all(uploads)
        heard = [
            Heard(one.name, one.embedding, one.quality)
            for one in examined
            if one.embedding is not None and one.quality is not None
        ]
        left_out = [LeftOut(one.name, one.problem.code, one.problem.text) for one in examined if one.problem]
        cosines = self._cosines if isinstance(self._cosines, Thresholds) else None
        rules = Rules().completed(cosines, self._rule)

        def finish() -> tuple[Enrolment, Optional[Speaker]]:
            before: tuple = ()
            name = who
            if isinstance(who, SpeakerId):  # the speaker may have been renamed or deleted meanwhile
                speaker = self.store.get(who)
                name, before = speaker.name, speaker.samples
            done = decide_enrolment(self.store, str(name), heard, left_out, before, mode, terms, rules)
            return done, self.store.get(str(name)) if done.enrolled else None

        done, speaker = await _call(finish)
        answer = enrolment_facts(done)
        if speaker is None:
            raise ServiceProblem(422, done.code, f"{done.name}: {done.reason}", more={"enrolment": answer})
        return {
            **_speaker(speaker),
            "same_voice": answer["same_voice"],
            "notes": answer["notes"],
            "recordings": [examined_facts(one) for one in examined],
        }

    async def identify(self, upload: Upload, group: Optional[str]) -> dict[str, Any]:
        """Return which enrolled speaker speaks in a recording."""
        candidates = Candidates(group=group, threshold=self._settings.threshold)
        examined = await self._examine(upload)

        def search() -> tuple[Identification, dict[str, str]]:
            naming = naming_of(self.store, self.embedder, candidates)
            if examined.embedding is None:
                problem = examined.problem
                assert problem is not None
                unfit = UnfitRecording(upload.name, problem.text, problem.code, examined.quality)
                return answer_for_unfit(unfit, naming.threshold), {}
            one = examined.embedding[None]
            (found,) = identify_embeddings(self.store, one, candidates, naming, [examined.quality])
            return found, self.store.ids([match.name for match in found.candidates])

        found, ids = await _call(search)
        answer = identification_facts(upload.name, found)
        matches = [{"id": ids.get(match.name), **match._asdict()} for match in found.candidates]
        name = found.name
        return {
            **{key: value for key, value in answer.items() if key not in ("name", "candidates")},
            "speaker": None if name is None else {"id": ids.get(name), "name": name},
            "matches": matches,
            "recordings": [examined_facts(examined)],
        }

    async def diarize(
        self,
        upload: Upload,
        num_speakers: Optional[int],
        min_speakers: Optional[int],
        max_speakers: Optional[int],
        names: bool,
    ) -> dict[str, Any]:
        """Return who speaks when."""
        limits = self._settings.limits
        count = count_of(num_speakers, 1 if min_speakers is None else min_speakers, max_speakers)
        options = {
            "min_speakers": count.least,
            "max_speakers": count.most,
            "max_s": limits.max_conversation_s,
        }
        if not self._conversations.acquire(blocking=False):
            raise self.pool.busy()
        try:
            future = self._submit(worker.DIARIZE, upload, options, max(limits.work_s, limits.max_conversation_s))
        except BaseException:
            self._conversations.release()
            raise
        future.add_done_callback(lambda _: self._conversations.release())  # a worker continues without its caller
        reply = await asyncio.wrap_future(future)
        if not names or reply.vectors is None:
            return reply.result
        return await _call(self._name, reply)

    def _name(self, reply: Reply) -> dict[str, Any]:
        """Give the enrolled speakers of a conversation their names."""
        result = reply.result
        assert reply.vectors is not None
        speakers = [one["speaker"] for one in result["speakers"]]
        found = Diarization(
            result["recording"],
            result["duration_s"],
            [Turn(turn["start_s"], turn["end_s"], turn["speaker"]) for turn in result["turns"]],
            dict(zip(speakers, reply.vectors, strict=True)),
            notes=result["notes"],
            qualities={one["speaker"]: Quality(**one["quality"]) for one in result["speakers"] if one["quality"]},
        )
        candidates = Candidates(threshold=self._settings.threshold)
        return as_json(name_speakers(found, self.store, self.embedder, candidates))

    async def embed(self, upload: Upload) -> dict[str, Any]:
        """Return the embedding of a recording."""
        options = {"max_s": self._settings.limits.max_recording_s}
        reply = await self._work(worker.EMBED, upload, options, self._settings.limits.work_s)
        assert reply.vectors is not None
        model = self.store.model
        return {
            "recording": upload.name,
            "embedding": [float(str(value)) for value in reply.vectors],  # the shortest decimals for the float32
            "model": model.name,
            "fingerprint": model.fingerprint,
        }

    async def count(self) -> int:
        """Return the number of speakers; raise ServiceProblem if the store does not answer within STORE_S."""
        try:
            return await asyncio.wait_for(_call(self.store.count), STORE_S)
        except TimeoutError:
            raise _store_unavailable() from None

    async def page(self, after: str, limit: int, group: Optional[str]) -> dict[str, Any]:
        """Return a page of speakers, and the name after which the next page begins."""
        page = await _call(self.store.list, after, limit + 1, group)
        shown = page[:limit]
        return {
            "speakers": [_speaker(line) for line in shown],
            "next": shown[-1].name if len(page) > limit else None,
        }

    async def list_named(self, name: str) -> dict[str, Any]:
        """Return the speaker with a name, as a page."""
        ids = await _call(self.store.ids, [check_name(name)])
        return {"speakers": [await self.show(speaker_id) for speaker_id in ids.values()], "next": None}

    async def show(self, speaker_id: str) -> dict[str, Any]:
        """Return the stored data of a speaker, without embeddings."""
        return _speaker(await _call(self.store.get, SpeakerId(speaker_id)))

    async def rename(self, speaker_id: str, name: str) -> dict[str, Any]:
        """Rename a speaker."""
        await _call(self.store.rename, SpeakerId(speaker_id), check_name(name))
        return await self.show(speaker_id)

    async def delete(self, speaker_id: str) -> None:
        """Delete a speaker."""

        def delete() -> None:
            try:
                self.store.delete(SpeakerId(speaker_id))
            except NotErased as error:  # the speaker is deleted; the operator must erase the bytes left in files
                warn(f"store: {error}")

        await _call(delete)

    async def _examine_all(self, uploads: Sequence[Upload]) -> list[Examined]:
        """Examine recordings, as many at once as there are workers; an error cancels the others."""
        tasks = [asyncio.create_task(self._examine(upload)) for upload in uploads]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            raise

    async def _examine(self, upload: Upload) -> Examined:
        options = {"max_s": self._settings.limits.max_recording_s}
        if kind_of(upload.content) is None:
            reason = "not a recording in a known format" if upload.content else "empty file"
            return Examined(upload.name, None, None, Problem(UNUSABLE, reason))
        reply = await self._work(worker.EXAMINE, upload, options, self._settings.limits.work_s)
        quality, found = reply.result["quality"], reply.result["problem"]
        return Examined(
            upload.name,
            reply.vectors,
            None if quality is None else Quality(**quality),
            None if found is None else Problem(**found),
        )

    async def _work(self, op: str, upload: Upload, options: dict[str, Any], work_s: float) -> Reply:
        return await asyncio.wrap_future(self._submit(op, upload, options, work_s))

    def _submit(self, op: str, upload: Upload, options: dict[str, Any], work_s: float) -> "Future[Reply]":
        if kind_of(upload.content) is None:
            raise ServiceProblem(422, UNUSABLE, f"{upload.name}: not a recording in a known format.", upload.name)
        return self.pool.submit(Job(op, upload.name, upload.content, options, self._settings.limits.decode_s, work_s))


def describe_model(model: str) -> Embedder:
    """Return a model with its description only; the workers embed.

    Raises:
        InputError: the model is missing or damaged.
    """

    def run(batch: np.ndarray) -> list[np.ndarray]:
        raise AssertionError("the workers embed")

    path = find_exported(model)
    return Embedder(path, Engine("", ExportedModel.read(path), run))


def _rule(embedder: Embedder, threshold: Optional[float], has_quality: bool) -> Rule:
    if threshold is not None:
        return Thresholds(threshold, threshold, "--threshold")
    return rule_of(embedder, has_quality)


def _decision(decision: Decision) -> dict[str, Any]:
    answer = decision_facts(decision)
    reason = f" {decision.reason[0].upper()}{decision.reason[1:]}." if decision.reason else ""
    return {**answer, "meaning": f"{MEANINGS[decision.answer]}{reason}"}


def _speaker(speaker: "Speaker | Summary") -> dict[str, Any]:
    """Return the stored data of a speaker, without embeddings."""
    if isinstance(speaker, Speaker):
        num_samples = len(speaker.samples)
        speech_s = sum(sample.net_speech_s for sample in speaker.samples)
    else:
        num_samples, speech_s = speaker.num_samples, speaker.net_speech_s
    return {**speaker_facts(speaker), "num_recordings": num_samples, "net_speech_s": round(speech_s, 3)}


async def _call(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that waits for the disk or computes, in a thread; turn errors of the store into problems."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except NoSuchSpeaker:
        raise ServiceProblem(404, "no_such_speaker", "There is no speaker with this id (any more).") from None
    except SpeakerExists:
        raise _already_enrolled() from None
    except InputError as error:  # names and terms were checked before: the disk or the database failed
        warn(f"store: {error}")
        raise _store_unavailable() from None


def _store_unavailable() -> ServiceProblem:
    return ServiceProblem(503, "store_unavailable", "The store of speakers does not answer.", retry_after_s=5)


def _already_enrolled() -> ServiceProblem:
    return ServiceProblem(409, "already_enrolled", "Add recordings to that speaker, or choose another name.")
