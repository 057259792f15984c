"""The web page in a real Chromium, against the real service, with real recordings at the microphone."""

import base64
import json
import re

import numpy as np
import pytest
import soundfile

from mindvox.errors import InputError
from mindvox.home import ONNX, find_model, home, model_folder
from tests.service.browser import (
    LONGEST_ANSWER_MS,
    RATE,
    RECORDINGS,
    Microphone,
    chromium,
    missing,
    recordings,
    spoken,
)
from tests.service.calls import files
from tests.service.running import Running
from tests.service.toys import encoded

ANNA, BERT = "id00367", "id00533"  # readers of the corpus
VIEWS = ("enrol", "verify", "identify", "people", "timeline")
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
ALONE = (1.44, 12.9)  # s, where one person speaks alone in it, by its reference
CONVERSATION = RECORDINGS.parents[2] / "ami_excerpts" / "dev00.flac"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A service without tokens, with the public model."""
    if not RECORDINGS.exists():
        pytest.skip("needs mini_librispeech, which is not part of the project")
    try:
        find_model("campplus_zh_en", ONNX)  # fetched together with the speech detector
    except InputError as error:
        pytest.skip(str(error))
    running = real_service(tmp_path_factory.mktemp("real"), needs_token=False).start()
    yield running
    running.stop()


def real_service(folder, needs_token):
    return Running(folder, home(), "campplus_zh_en", "--num_workers=1", needs_token=needs_token)


@pytest.fixture(scope="module")
def microphone(tmp_path_factory):
    return Microphone(tmp_path_factory.mktemp("microphone") / "heard.wav")


@pytest.fixture(scope="module")
def browser(microphone):
    if missing():
        pytest.skip(f"not installed: {missing()}")
    with chromium(microphone) as opened:
        yield opened


class View:
    """The page as a user sees it.

    Args:
        page: playwright's.
        microphone: what it hears.
    """

    def __init__(self, page, microphone):
        self.page, self.microphone = page, microphone
        page.set_default_timeout(LONGEST_ANSWER_MS)

    def go(self, name):
        self.page.click(f"nav a[href='#{name}']")
        self.page.locator(f"#{name}").wait_for()

    def record(self, place, waveform):
        """Record with the microphone, and return what the page says about it."""
        field = self.page.locator(place)
        length_s = self.microphone.play(waveform)
        field.locator(".record").click()
        field.locator(".record.running").wait_for()
        self.page.wait_for_timeout(1000 * length_s)
        field.locator(".record").click()
        field.locator(".told li").first.wait_for()
        return field.locator(".advice").inner_text()

    def submit(self, name):
        """Send a form, and return the result."""
        self.page.click(f"#{name} button[type=submit]")
        self.page.locator(f"#{name} .verdict").wait_for()
        return self.page.locator(f"#{name} .result").inner_text()

    def enrol(self, name, waveform):
        self.go("enrol")
        assert self.record("#enrol", waveform) == "Good recording."
        self.page.fill("#enrol-name", name)
        self.page.check("#enrol-consent")
        return self.submit("enrol")

    def upload(self, place, name, content):
        """Choose a file, and return what the page says about it."""
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.page.set_input_files(f"{place} input[type=file]", file)
        self.page.locator(f"{place} .told li").first.wait_for()
        return self.page.locator(f"{place} .advice").inner_text()

    def barriers(self):
        """Return the accessibility problems that axe finds on the page."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


@pytest.fixture
def toy_view(new_view, service):
    """Open the page of the service whose model loads at once; most tests of the page need no more."""
    return lambda **options: new_view(service, token=service.tokens["all"], **options)


@pytest.fixture
def new_view(browser, microphone):
    """Open the page of a service; at the end, check that nothing failed in it."""
    contexts, failures = [], []

    def opened(service, may_fail=False, token="", **options):
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-US", **options})
        if token:
            context.add_init_script(f"sessionStorage.setItem('mindvox.token', '{token}')")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        if not may_fail:
            page.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
        page.on("request", lambda sent: failures.append(sent.url) if is_outside(sent.url, service.address) else None)
        page.goto(service.address)
        page.locator("h1:visible").wait_for()
        return View(page, microphone)

    yield opened
    for context in contexts:
        context.close()
    assert not failures


def is_outside(sent, address):
    return not sent.startswith((f"{address}/", "blob:", "data:"))


def test_a_person_is_enrolled_verified_identified_and_deleted(new_view, real):
    view = new_view(real)
    page = view.page
    assert view.enrol("Anna", spoken(ANNA, 1)).startswith("✓\nAnna is enrolled.")
    assert not view.barriers()

    page.click("text=Try it: verify the person")
    assert page.input_value("#verify-name") == "Anna"
    view.record("#verify-second", spoken(ANNA, 9))
    said = view.submit("verify")
    assert said.startswith("✓\nThis is Anna.") and "times as likely for one person as for two" in said
    assert float(re.search(r"Score: (\S+)", said)[1]) > 0.5
    assert not view.barriers()

    view.record("#verify-second", spoken(BERT, 9))
    assert page.locator("#verify .verdict").count() == 0  # what was said of the recording before
    assert view.submit("verify").startswith("✗\nThis is not Anna.")

    view.go("identify")
    view.record("#identify", spoken(ANNA, 8))
    said = view.submit("identify")
    assert said.startswith("✓\nThis is Anna.") and "A name is given from a score of" in said
    assert not view.barriers()
    view.record("#identify", spoken(BERT, 6))
    assert view.submit("identify").startswith("✗\nThis is nobody who is enrolled.")
    view.upload("#identify", "a.flac", recordings(ANNA)[5].read_bytes())
    assert view.submit("identify").startswith("✓\nThis is Anna.")

    view.go("people")
    page.click(".people button.danger")
    assert page.locator("#delete-title").inner_text() == "Delete Anna?"
    assert not view.barriers()
    page.keyboard.press("Escape")
    assert page.locator(".people li").count() == 1
    page.click(".people button.danger")
    page.click("#delete button.danger")
    page.locator("text=Anna was deleted.").wait_for()
    assert page.locator(".people li").count() == 0

    view.go("verify")
    assert view.submit("verify") == "✗\nNobody is enrolled as Anna."
    view.go("identify")
    assert "Nobody is enrolled." in view.submit("identify")


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(DESKTOP, "light", id="desktop, light"),
        pytest.param(DESKTOP, "dark", id="desktop, dark", marks=pytest.mark.slow),
        pytest.param(PHONE, "light", id="phone, light", marks=pytest.mark.slow),
        pytest.param(PHONE, "dark", id="phone, dark"),
    ],
)
def test_every_view_is_free_of_barriers_and_fits_the_width(toy_view, size, scheme):
    view = toy_view(viewport=size, color_scheme=scheme)
    for name in VIEWS:
        view.go(name)
        assert not view.barriers(), name
        assert view.page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    view.page.select_option("#language", "zh")
    view.page.locator("nav a", has_text="注册").wait_for()
    assert view.page.locator("html").get_attribute("lang") == "zh-Hans"
    assert view.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    view.page.reload()
    view.page.locator("h1", has_text="谁在何时说话？").wait_for()
    assert view.page.title() == "谁在何时说话？ – MindVox"
    assert (
        view.page.evaluate("document.querySelectorAll('[data-text]:empty, [data-label]:not([aria-label])').length") == 0
    )


FLOATS = "const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);"


def as_text(samples):
    """Return samples as text for FLOATS, because playwright would send each number on its own."""
    return base64.b64encode(np.asarray(samples, "<f4").tobytes()).decode()


RESAMPLE = """async ([from, samples, sizes]) => {
  FLOATS
  const { Resampler } = await import("/js/resampler.js");
  const resampler = new Resampler(from, 16000);
  const input = floats(samples);
  const made = [];
  for (let at = 0, turn = 0; at < input.length; at += sizes[turn], turn = (turn + 1) % sizes.length)
    made.push(...resampler.push(input.subarray(at, at + sizes[turn])));
  return [...made, ...resampler.flush()];
}""".replace("FLOATS", FLOATS)


@pytest.mark.parametrize(
    "rate", [8000, 44100, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (16000, 48000))]
)
def test_the_recorder_changes_the_rate_and_nothing_else(toy_view, rate):
    page = toy_view().page
    times = np.arange(rate // 4) / rate

    def resampled(frequency, sizes=(128,)):
        tone = np.sin(2 * np.pi * frequency * times)
        return np.array(page.evaluate(RESAMPLE, [rate, as_text(tone), list(sizes)]))

    made = resampled(1000)
    assert abs(len(made) - RATE // 4) <= 1
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(made)) / RATE)
    middle = slice(200, -200)  # the ends have nothing before and after them
    assert np.abs(made - expected)[middle].max() < 2e-3
    assert np.array_equal(made, resampled(1000, (1, 7, 500)))
    if rate > RATE:  # 9.6 kHz would be heard as 6.4 kHz
        assert np.abs(resampled(9600)[middle]).max() < 1e-3


JUDGE = """async ([samples, clipped]) => {
  FLOATS
  const { Level } = await import("/js/level.js");
  const level = new Level();
  const input = floats(samples);
  for (let at = 0; at < input.length; at += 1600) level.push(input.subarray(at, at + 1600), clipped);
  return [level.fault, level.speechAfter(0), level.duration_s];
}""".replace("FLOATS", FLOATS)


def test_what_is_wrong_is_known_at_once(toy_view):
    page = toy_view().page
    speech = spoken(ANNA, 0)[: 2 * RATE]

    def judged(waveform, clipped=0):
        return page.evaluate(JUDGE, [as_text(waveform), clipped])

    fault, speech_s, duration_s = judged(speech)
    assert fault is None and duration_s == len(speech) / RATE and 0.4 * duration_s < speech_s < duration_s
    assert judged(np.zeros(3 * RATE))[0] == "silent"
    assert judged(speech * 0.01)[0] == "quiet"
    assert judged(speech, clipped=0.01)[0] == "clipped"
    assert judged(np.zeros(RATE))[0] is None  # too early to say anything
    noise = 0.01 * np.random.default_rng(0).standard_normal(3 * RATE)
    assert judged(noise)[1] < 0.2


@pytest.mark.slow
def test_the_page_says_what_is_wrong_while_somebody_records(new_view, real):
    view = new_view(real)
    advice = view.page.locator("#enrol .advice")
    for waveform, words in (
        (np.zeros(6 * RATE, np.float32), "Nothing is heard."),
        (0.005 * spoken(ANNA, 0, 3), "Too quiet."),
        (np.clip(30 * spoken(ANNA, 0, 3), -1, 1), "Too loud"),
        (spoken(ANNA, 0, 4), "That is enough."),
    ):
        view.microphone.play(waveform)
        view.page.click("#enrol .record")
        advice.filter(has_text=words).wait_for()
        view.page.click("#enrol .record")
        view.page.locator("#enrol .told li").first.wait_for()
        view.page.click("#enrol ol button")


@pytest.mark.slow
def test_the_count_of_speech_becomes_the_services(new_view, real):
    view = new_view(real)
    view.microphone.play(spoken(ANNA, 0, 4))
    with view.page.expect_response("**/v1/examine") as answer:
        view.page.click("#enrol .record")
    assert answer.value.json()["quality"]["net_speech_s"] > 0.5
    view.page.click("#enrol .record")


@pytest.mark.slow
def test_leaving_a_view_ends_its_recording(new_view, real):
    view = new_view(real)
    view.microphone.play(spoken(ANNA, 0, 3))
    view.page.click("#enrol .record")
    view.page.locator("#enrol .record.running").wait_for()
    view.page.wait_for_timeout(1500)
    view.go("verify")
    assert view.page.locator(".record.running").count() == 0
    view.go("enrol")
    view.page.locator("#enrol .told li").first.wait_for()


@pytest.mark.slow
def test_everything_works_by_keyboard(new_view, real):
    view = new_view(real)
    page = view.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    page.keyboard.type("Carla")
    page.keyboard.press("Tab")
    length_s = view.microphone.play(spoken("id02414", 0, 2))
    page.keyboard.press("Space")
    page.locator("#enrol .record.running").wait_for()
    page.wait_for_timeout(1000 * length_s)
    page.keyboard.press("Space")
    page.locator("#enrol .told li").first.wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "enrol-consent":
            break
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("text=Carla is enrolled.").wait_for()
    page.goto(page.url.partition("#")[0] + "#people")
    assert page.evaluate("document.activeElement.id") == "people-title"  # where a screen reader goes on
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Delete Carla":
            break
    page.keyboard.press("Enter")
    page.locator("#delete").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("text=Carla was deleted.").wait_for()


@pytest.mark.slow
def test_errors_are_said_and_lead_to_the_field(new_view, real):
    view = new_view(real)
    page = view.page
    assert view.submit("enrol") == "✗\nEnter a name first."
    assert page.evaluate("document.activeElement.id") == "enrol-name"
    page.fill("#enrol-name", "Dora")
    page.click("#enrol button[type=submit]")
    page.locator("#enrol .advice", has_text="Record something or choose a file first.").wait_for()
    assert view.upload("#enrol", "a.txt", b"no audio at all").startswith("This recording cannot be used")
    assert view.submit("enrol").startswith("✗\nA voice may be stored only if the person agrees.")
    assert page.evaluate("document.activeElement.id") == "enrol-consent"
    assert not view.barriers()


@pytest.mark.slow
def test_without_a_microphone_files_still_work(new_view, real):
    view = new_view(real)
    view.page.evaluate(
        "() => (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')))"
    )
    view.page.click("#enrol .record")
    view.page.locator("#enrol .advice", has_text="does not let this page use the microphone").wait_for()
    content = recordings(ANNA)[0].read_bytes()
    assert view.upload("#enrol", "anna.flac", content) != ""
    assert "s of speech" in view.page.locator("#enrol .told").inner_text()


RECORD_BY_BROWSER = """async ([type, milliseconds]) => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream, { mimeType: type });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start(500);
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.stop();
  await ended;
  stream.getTracks().forEach((track) => track.stop());
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


@pytest.mark.slow
@pytest.mark.parametrize("type", ["audio/webm;codecs=opus", "audio/mp4;codecs=opus"])
def test_what_a_browser_records_by_itself_is_taken(new_view, real, microphone, type):
    av = pytest.importorskip("av", reason="needs PyAV (extra media)")
    view = new_view(real)
    if not view.page.evaluate("type => MediaRecorder.isTypeSupported(type)", type):
        pytest.skip(f"this Chromium records no {type}")
    length_s = microphone.play(spoken(ANNA, 0, 2))
    content = base64.b64decode(view.page.evaluate(RECORD_BY_BROWSER, [type, 1000 * length_s]))
    path = microphone.path.with_name("recorded")
    path.write_bytes(content)
    with av.open(str(path)) as container:
        if "webm" in type:
            assert container.duration is None  # nobody knew it when the header was written
    view.go("identify")
    assert view.upload("#identify", "blob", content) in (
        "Good recording.",
        "This recording can be used. See below how to make it better.",
    )
    speech_s = float(re.match(r"\S+", view.page.locator("#identify .told li").first.inner_text())[0])
    assert speech_s > 3


@pytest.mark.slow
def test_two_recordings_are_compared(new_view, real):
    view = new_view(real)
    view.go("verify")
    view.page.check("#verify-recording")
    files = recordings(ANNA)
    view.upload("#verify-first", "a.flac", files[1].read_bytes())
    view.upload("#verify-second", "b.flac", files[4].read_bytes())
    said = view.submit("verify")
    assert said.startswith("✓\nBoth recordings are of the same person.") and "times as likely for one person" in said
    view.page.select_option("#language", "zh")
    view.page.locator("#verify .result", has_text="两段录音是同一个人").wait_for()


@pytest.mark.slow
def test_people_are_listed_by_pages_found_and_renamed(new_view, real):
    view = new_view(real)
    page = view.page
    content = recordings(BERT)[4].read_bytes()
    names = [f"Person {number:02}" for number in range(21)]
    for name in names:
        made = page.request.post(
            f"{real.address}/v1/speakers",
            multipart={"name": name, "recordings": {"name": "a.flac", "mimeType": "audio/flac", "buffer": content}},
        )
        assert made.status == 201, made.text()
    try:
        view.go("people")
        page.locator(".people li").first.wait_for()
        assert page.locator(".people h2").all_inner_texts() == names[:20]
        assert not page.locator("#people-before").is_visible()
        assert not view.barriers()
        page.click("#people-after")
        page.locator(".people h2", has_text="Person 20").wait_for()
        assert not page.locator("#people-after").is_visible()
        page.click("#people-before")
        page.locator(".people h2", has_text="Person 00").wait_for()
        page.fill("#people-name", "Person 07")
        page.keyboard.press("Enter")
        page.locator(".people li").nth(1).wait_for(state="detached")
        page.click(".people button:has-text('Rename')")
        page.fill("#rename-name", "Emil <b>")
        page.keyboard.press("Enter")
        page.locator("text=Person 07 is called Emil <b> now.").wait_for()
        page.fill("#people-name", "")
        page.click("#people form button")
        page.locator(".people h2", has_text="Emil <b>").wait_for()
    finally:
        for speaker in page.request.get(f"{real.address}/v1/speakers").json()["speakers"]:
            page.request.delete(f"{real.address}/v1/speakers/{speaker['id']}")


@pytest.mark.slow
def test_recordings_can_be_added_to_who_is_enrolled(new_view, real):
    view = new_view(real, may_fail=True)  # the console names the answer 409
    view.enrol("Frida", spoken(ANNA, 1))
    assert view.enrol("Frida", spoken(ANNA, 8)).startswith("Somebody is enrolled under this name already.")
    view.page.click("text=Add these recordings to Frida")
    view.page.locator("text=The recordings were added to Frida.").wait_for()
    view.go("people")
    view.page.locator("text=2 recordings, enrolled on").wait_for()
    view.page.click(".people button.danger")
    view.page.click("#delete button.danger")
    view.page.locator("text=Frida was deleted.").wait_for()


@pytest.fixture
def conversation(real):
    """A recording of two people, of whom one is enrolled: the caller, the speaker's id, and the recording."""
    if not CONVERSATION.exists():
        pytest.skip("needs ami_excerpts, which are not part of the project")
    if not (model_folder("segmentation_pyannote") / ONNX).is_file():
        pytest.skip("needs segmentation_pyannote: mindvox fetch segmentation_pyannote")
    samples, rate = soundfile.read(CONVERSATION, dtype="float32")
    start_s, end_s = ALONE
    voice = encoded(samples[round(start_s * rate) : round(end_s * rate)], rate=rate)
    with real.client() as client:
        olga = client.post("/v1/speakers", files=files(voice), data={"name": "Olga"}).json()
        yield client, olga
        client.delete(f"/v1/speakers/{olga['id']}")


@pytest.mark.slow
def test_a_conversation_is_told_apart_with_names(conversation):
    client, _ = conversation
    content = files(CONVERSATION.read_bytes(), names=["dev00.flac"])
    plain = client.post("/v1/diarize", files=content, data={"num_speakers": 2}).json()
    assert plain["recording"] == "dev00.flac" and plain["duration_s"] == pytest.approx(30)
    assert len(plain["speakers"]) == 2 and "embedding" not in json.dumps(plain)
    named = client.post("/v1/diarize", files=content, data={"num_speakers": 2, "names": "true"}).json()
    names = {one["speaker"] for one in named["speakers"]}
    assert len(names) == 2 and "Olga" in names
    assert [(turn["start_s"], turn["end_s"]) for turn in named["turns"]] == [
        (turn["start_s"], turn["end_s"]) for turn in plain["turns"]
    ]
    start_s, end_s = ALONE
    said_s = sum(
        min(turn["end_s"], end_s) - max(turn["start_s"], start_s)
        for turn in named["turns"]
        if turn["speaker"] == "Olga" and turn["start_s"] < end_s and turn["end_s"] > start_s
    )
    assert said_s > 0.8 * (end_s - start_s)


@pytest.mark.slow
def test_the_timeline_has_names_and_plays_turns(new_view, real, conversation):
    view = new_view(real)
    page = view.page
    view.go("timeline")
    page.set_input_files("#timeline input[type=file]", CONVERSATION)
    page.fill("#timeline-count", "2")
    page.check("#timeline-names")
    page.click("#timeline button[type=submit]")
    page.locator("#timeline .verdict").wait_for(timeout=2 * LONGEST_ANSWER_MS)
    assert "2 people speak in 30.0 s" in page.locator("#timeline .result").inner_text()
    lanes = page.locator(".lane .name").all_inner_texts()
    assert (
        set(lanes) in ({"Olga", "Speaker 1"}, {"Olga", "Speaker 2"}) and "Olga" in page.locator(".shares").inner_text()
    )
    assert page.locator(".turn").count() == page.locator(".spoken li").count() > 2
    assert not view.barriers()
    button = page.locator(".spoken button").nth(1)
    minutes, start, end = re.match(r"(\d+):(\S+) – \d+:(\S+), play ", button.get_attribute("aria-label")).groups()
    button.click()
    page.locator(".spoken li.playing").wait_for()
    page.locator(".spoken li.playing").wait_for(state="detached", timeout=1000 * (float(end) - float(start) + 5))
    played_s = page.locator(".turns audio").evaluate("audio => audio.currentTime")
    assert minutes == "0" and float(end) - 0.06 <= played_s < float(end) + 0.3


@pytest.mark.slow
def test_a_token_is_asked_for_and_forgotten_with_the_tab(new_view, tmp_path):
    running = real_service(tmp_path, needs_token=True).start()
    view = new_view(running, may_fail=True)  # the console names the answers 401 and 403
    page = view.page
    view.go("people")
    for token in ("wrong", running.tokens["read"]):
        page.locator("#token").wait_for()
        assert not view.barriers()
        page.fill("#token-value", token)
        page.keyboard.press("Enter")
    page.locator("text=Nobody is enrolled yet.").wait_for()
    assert page.evaluate("localStorage.length + document.cookie.length") == 1  # the language
    assert "This token does not allow that." in view.enrol("Gerda", spoken(ANNA, 0, 2))
    page.click("#token-open")
    page.fill("#token-value", running.tokens["all"])
    page.keyboard.press("Enter")
    assert view.submit("enrol").startswith("✓\nGerda is enrolled.")
    page.click("#token-open")
    page.click("text=Forget it")
    page.reload()
    page.locator("#enrol h1").wait_for()
    view.go("people")
    page.locator("#token").wait_for()
    page.keyboard.press("Escape")
    page.locator("text=The service does not accept this token.").wait_for()
    running.stop()


@pytest.mark.slow
def test_the_page_says_when_the_service_is_gone(new_view, toy_home, tmp_path):
    running = Running(tmp_path, *toy_home, "--num_workers=1", needs_token=False).start()
    view = new_view(running, may_fail=True)
    view.go("people")
    view.page.locator("text=Nobody is enrolled yet.").wait_for()
    running.stop()
    view.page.click("#people form button")
    view.page.locator("text=The service cannot be reached.").wait_for()
