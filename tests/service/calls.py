"""Helpers to send requests to the service and to check refusals."""

from tests.service.toys import recording

NOBODY = "0" * 32


def files(*contents, names=None):
    """Return recordings as parts of a form."""
    return [("recordings", (names[place] if names else f"{place}.wav", one)) for place, one in enumerate(contents)]


def enrol(client, name="Anna", speaker=1, **fields):
    """Enrol a speaker and return what the service answers."""
    answer = client.post(
        "/v1/speakers", files=files(recording(speaker, 0), recording(speaker, 1)), data={"name": name, **fields}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def problem_of(answer, status, code):
    """Check that an answer is a problem, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == status and found["code"] == code and found["title"] and found["detail"]
    assert found["type"] == f"urn:mindvox:problem:{code}"
    return found
