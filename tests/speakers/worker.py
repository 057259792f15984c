"""A process that works on a store: python -m tests.speakers.worker PLACE enrol|churn NUMBER [SECONDS [LARGE]].

From LARGE speakers on it searches codes, and rebuilds them after a few changes.
"""

import random
import subprocess
import sys
import time

from mindvox.speakers import codes, sqlite_store
from mindvox.speakers.store import ADD, Sample, open_store
from tests.speakers.conftest import MODEL, vector


def samples_of(number):
    return [Sample(vector(2 * number), f"{number}-0"), Sample(vector(2 * number + 1), f"{number}-1")]


def enrol(place, count):
    """Enrol speakers 0, 1, ... and print each number when the store has confirmed it."""
    with open_store(place, MODEL) as store:
        for number in range(count):
            store.put(str(number), samples_of(number))
            print(number, flush=True)


def churn(place, worker, seconds):
    """Enrol, add, rename, identify and delete at random; at the end print the speakers that must exist."""
    rng = random.Random(worker)
    alive = {}
    end = time.monotonic() + seconds
    number = 0
    with open_store(place, MODEL) as store, open_store(place, MODEL) as other:
        while time.monotonic() < end or number < 5:
            number += 1
            name, seed = f"{worker}-{number}", worker * 1_000_000 + number
            store.put(name, [Sample(vector(seed))])
            alive[name] = seed
            if rng.random() < 0.3:
                store.put(name, [Sample(vector(seed) * 2)], mode=ADD)
            if rng.random() < 0.3:
                store.rename(name, f"{name} renamed")
                alive[f"{name} renamed"] = alive.pop(name)
            name = rng.choice(list(alive))
            match = other.search(vector(alive[name])[None])[0][0]
            assert match.name == name and match.score > 0.999, (match, name)
            if rng.random() < 0.5:
                seed = alive.pop(name)
                store.delete(name)
                assert name not in [match.name for match in other.search(vector(seed)[None], k=10_000)[0]]
    print("\n".join(alive))


def start(place, *arguments):
    """Start this module as a process."""
    command = [sys.executable, "-m", "tests.speakers.worker", str(place), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


if __name__ == "__main__":
    if sys.argv[2] == "enrol":
        enrol(sys.argv[1], int(sys.argv[3]))
    else:
        if len(sys.argv) > 5:
            sqlite_store.IN_MEMORY, codes.LEAST_CHANGED = int(sys.argv[5]), 10
        churn(sys.argv[1], int(sys.argv[3]), float(sys.argv[4]))
