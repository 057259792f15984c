"""Callers that enrol and delete until the service is killed, and what it had acknowledged to them by then."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.service.calls import files
from tests.service.toys import recording

NUM_CALLERS = 3


class Churn:
    """What services acknowledged.

    Args:
        seed: of the moments of the kills.
    """

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._content = recording(1, 0, 2.2)
        self._num_rounds = 0
        self.enrolled, self.deleted = {}, set()

    def until_killed(self, running):
        """Let callers work, and kill the service in the middle."""
        self._num_rounds += 1
        killed_at = time.monotonic() + self._chance.uniform(0.3, 1.5)
        with ThreadPoolExecutor(NUM_CALLERS) as threads:
            callers = [threads.submit(self._work, running, number, killed_at) for number in range(NUM_CALLERS)]
            time.sleep(max(0.0, killed_at - time.monotonic()))
            running.kill()
            for caller in callers:
                made, gone, unknown = caller.result()
                made.pop(unknown, None)
                self.enrolled.update(made)
                self.deleted |= gone

    def _work(self, running, caller, killed_at):
        """Return who was enrolled, who was deleted, and of whom it is not known, because the answer never came."""
        made, gone = {}, set()
        with running.client() as client:
            for number in range(1000):
                try:
                    name = f"{self._num_rounds}-{caller}-{number}"
                    answer = client.post("/v1/speakers", files=files(self._content), data={"name": name})
                    if answer.status_code == 201:
                        made[answer.json()["id"]] = name
                    if number % 2 and made:
                        speaker = next(iter(made))
                        if client.delete(f"/v1/speakers/{speaker}").status_code == 204:
                            gone.add(speaker)
                            del made[speaker]
                except httpx.TransportError:
                    assert time.monotonic() > killed_at - 0.05
                    return made, gone, next(iter(made), None)
        raise AssertionError("it was never killed")

    def check(self, running):
        """Check that a service has everything that was acknowledged."""
        with running.client() as client:
            kept, after = {}, ""
            while after is not None:
                page = client.get("/v1/speakers", params={"limit": 1000, "after": after}).json()
                kept.update((one["id"], one["name"]) for one in page["speakers"])
                after = page["next"]
            assert self.enrolled and self.deleted
            assert self.enrolled.items() <= kept.items() and not self.deleted & kept.keys()
            assert client.post("/v1/identify", files=files(self._content)).json()["matches"]
