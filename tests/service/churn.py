"""Callers that enrol and delete until the service is killed, and a record of what it acknowledged."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.service.calls import files
from tests.service.running import until
from tests.service.toys import recording

NUM_CALLERS, LEAST_CHANGES = 3, 12


class Churn:
    """Records what services acknowledged.

    Args:
        seed: seed for the times of the kills.
    """

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._content = recording(1, 0, 2.2)
        self._num_rounds = 0
        self._is_killed = False
        self.enrolled, self.deleted = {}, set()

    def until_killed(self, running):
        """Let callers work, and kill the service in the middle."""
        self._num_rounds += 1
        self._is_killed = False
        seen = len(self.enrolled) + len(self.deleted)
        with ThreadPoolExecutor(NUM_CALLERS) as threads:
            callers = [threads.submit(self._work, running, number) for number in range(NUM_CALLERS)]
            until(lambda: len(self.enrolled) + len(self.deleted) >= seen + LEAST_CHANGES)
            time.sleep(self._chance.uniform(0, 0.5))
            self._is_killed = True
            running.kill()
            for caller in callers:
                self.enrolled.pop(caller.result(), None)

    def _work(self, running, caller):
        """Enrol and delete; return the speakers whose state is unknown, because no answer arrived."""
        mine = []
        with running.client() as client:
            for number in range(1000):
                try:
                    name = f"{self._num_rounds}-{caller}-{number}"
                    answer = client.post("/v1/speakers", files=files(self._content), data={"name": name})
                    if answer.status_code == 201:
                        mine.append(answer.json()["id"])
                        self.enrolled[mine[-1]] = name
                    if number % 2 and mine and client.delete(f"/v1/speakers/{mine[0]}").status_code == 204:
                        del self.enrolled[mine[0]]
                        self.deleted.add(mine.pop(0))
                except httpx.TransportError:
                    assert self._is_killed
                    return mine[0] if mine else None
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
