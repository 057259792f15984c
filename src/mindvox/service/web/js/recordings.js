/** A field for recordings: by the microphone, which is judged while it runs, or files. */

import { hintsOf, problemOf, summaryOf, gradeOf } from "./advice.js";
import { examine } from "./api.js";
import { make } from "./dom.js";
import { Level } from "./level.js";
import { Microphone } from "./microphone.js";
import { sayError } from "./results.js";
import { hush, label, say, t, translate } from "./texts.js";
import { wavOf } from "./wav.js";

const EXAMINE_EVERY_S = 2; // of a running recording
const EXAMINE_GROWTH = 1.25; // or when it has grown by this factor, so that little is sent twice
const POLL_MS = 200;
const SHOWN_EVERY_BLOCKS = 2; // 200 ms

let recording = null; // there is one microphone, so one field records at a time

/** End the recording that runs, if any. */
export const stopRecording = () => recording?.stop();

export class Recordings {
  /** Recordings that are there: {blob, name}. */
  taken = [];
  #parts = {};
  #microphone = null;
  #isStarting = false;
  #blocks = [];
  #level = null;
  #exact = { until_s: 0, speech_s: 0, problem: null }; // what the service said about the start of the recording
  #live = true; // the service takes part
  #number = 0;
  #options;

  /**
   * @param {HTMLElement} place gets the field
   * @param {{legend: string, several?: boolean, wanted_s?: number, longest_s: number, judged?: boolean}} options keys
   *   and limits; wanted_s: how much speech is enough; judged: whether the service examines each recording
   */
  constructor(place, options) {
    this.#options = { several: false, wanted_s: 0, judged: true, ...options };
    const field = document.getElementById("recordings").content.cloneNode(true);
    for (const [name, selector] of Object.entries({
      legend: "legend", record: ".record", files: "input[type=file]", filesText: ".files span", live: ".live",
      clock: ".clock", meter: "meter", speech: ".speech", speechText: ".speech-text", progress: "progress",
      advice: ".advice", list: "ol",
    })) {
      this.#parts[name] = field.querySelector(selector);
    }
    const { legend, record, files, filesText, progress, speech } = this.#parts;
    say(legend, options.legend);
    say(record, "recordings.record");
    say(filesText, this.#options.several ? "recordings.files" : "recordings.file");
    files.multiple = this.#options.several;
    speech.hidden = this.#options.wanted_s === 0;
    progress.max = this.#options.wanted_s || 1;
    record.addEventListener("click", () => (this.#microphone ? this.stop() : this.#start()));
    files.addEventListener("change", () => this.#takeFiles());
    translate(field);
    place.append(field);
  }

  get isRunning() {
    return this.#microphone !== null;
  }

  /** Say why the field cannot be sent, and go there. */
  complain(key) {
    say(this.#parts.advice, key).className = "advice bad";
    this.#parts.record.focus();
  }

  /** Remove all recordings. */
  clear() {
    for (const item of [...this.#parts.list.children]) this.#remove(item);
    this.#silence();
  }

  async #start() {
    const { advice, live, record } = this.#parts;
    if (this.#isStarting) return; // the button stays enabled: a disabled one would lose the focus
    this.#isStarting = true;
    await stopRecording();
    say(advice, "live.asking").className = "advice";
    this.#blocks = [];
    this.#level = new Level();
    this.#exact = { until_s: 0, speech_s: 0, problem: null };
    this.#live = this.#options.judged;
    try {
      this.#microphone = await Microphone.open(
        (samples, clipped) => this.#hear(samples, clipped),
        () => this.stop(),
      );
    } catch (error) {
      say(advice, `microphone.${error.code}`).className = "advice bad";
      return;
    } finally {
      this.#isStarting = false;
    }
    recording = this;
    this.#isChanged();
    if (!this.#options.several) for (const item of [...this.#parts.list.children]) this.#remove(item);
    live.hidden = false;
    record.classList.add("running");
    say(record, "recordings.stop");
    say(advice, "live.speak");
    this.#examineWhileRunning();
  }

  /** End the recording, keep it, and let the service judge it. */
  async stop() {
    const microphone = this.#microphone;
    if (microphone === null) return;
    this.#microphone = recording = null;
    const { live, record } = this.#parts;
    await microphone.stop();
    live.hidden = true;
    record.classList.remove("running");
    say(record, "recordings.record");
    this.#silence();
    if (this.#blocks.length === 0) return void (say(this.#parts.advice, "live.nothing").className = "advice bad");
    this.#number += 1;
    await this.#add({ blob: wavOf(this.#blocks), name: `${t("recordings.name", { number: this.#number })}.wav` });
  }

  #hear(samples, clippedShare) {
    this.#blocks.push(samples);
    this.#level.push(samples, clippedShare);
    if (this.#level.duration_s >= this.#options.longest_s) return void this.stop();
    if (this.#blocks.length % SHOWN_EVERY_BLOCKS === 0) this.#show();
  }

  #show() {
    const { clock, meter, progress, speechText } = this.#parts;
    const { wanted_s } = this.#options;
    const seconds = Math.floor(this.#level.duration_s);
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    meter.value = Math.max(-60, Math.min(0, this.#level.now_db));
    const speech_s = this.#exact.speech_s + this.#level.speechAfter(this.#exact.until_s);
    progress.value = Math.min(speech_s, wanted_s);
    say(speechText, "live.speech", { speech_s, wanted_s });
    this.#advise(speech_s);
  }

  /** Say the most urgent thing about a running recording. */
  #advise(speech_s) {
    const { advice } = this.#parts;
    const { fault } = this.#level;
    const wrong = fault ? `fault.${fault}` : this.#exact.problem;
    const { wanted_s } = this.#options;
    const right = wanted_s > 0 && speech_s >= wanted_s ? "live.enough" : "live.speak";
    say(advice, wrong ?? right).className = `advice ${wrong ? "bad" : right === "live.enough" ? "good" : ""}`;
  }

  /** Let the service count the speech of a running recording now and then. */
  async #examineWhileRunning() {
    const microphone = this.#microphone;
    while (this.#live && this.#microphone === microphone) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const until_s = this.#level.duration_s;
      const before_s = this.#exact.until_s;
      const isDue = until_s >= Math.max(before_s + EXAMINE_EVERY_S, before_s * EXAMINE_GROWTH);
      if (this.#microphone !== microphone || !isDue) continue;
      try {
        const { quality, problem } = await examine({ blob: wavOf(this.#blocks), name: "so-far.wav" }, true);
        if (this.#microphone !== microphone) return;
        // Until somebody has spoken for a while, "too short" says only that it is not over yet.
        const early = ["no_speech", "too_short", "unusable"].includes(problem?.code);
        const wrong = problem && !early ? `fault.${problem.code}` : null;
        this.#exact = { until_s, speech_s: quality?.net_speech_s ?? 0, problem: wrong };
      } catch {
        this.#live = false; // the estimate goes on; what is wrong with the service shows when the recording is sent
      }
    }
  }

  async #takeFiles() {
    const { files, list } = this.#parts;
    const chosen = [...files.files];
    files.value = "";
    if (chosen.length === 0) return;
    this.#silence();
    if (!this.#options.several) for (const item of [...list.children]) this.#remove(item);
    for (const file of chosen) await this.#add({ blob: file, name: file.name });
  }

  /** Show a recording, and what the service says about it. */
  async #add(taken) {
    this.taken = [...this.taken, taken];
    const url = URL.createObjectURL(taken.blob);
    const player = make("audio", { controls: true, preload: "metadata", src: url });
    label(player, "recordings.play", { name: taken.name });
    const remove = say(make("button", { type: "button", className: "quiet" }), "recordings.remove");
    label(remove, "recordings.remove_name", { name: taken.name });
    const told = make("ul", { className: "told" });
    const item = make("li", {}, make("span", { className: "file" }, taken.name), player, remove, told);
    item.release = () => {
      URL.revokeObjectURL(url);
      this.taken = this.taken.filter((one) => one !== taken);
    };
    remove.addEventListener("click", () => {
      this.#remove(item);
      this.#isChanged();
      this.#silence();
      this.#parts.record.focus();
    });
    this.#parts.list.append(item);
    if (this.#options.judged) await this.#judge(taken, item, told);
  }

  async #judge(taken, item, told) {
    const { advice } = this.#parts;
    say(advice, "recordings.checking").className = "advice";
    try {
      const found = await examine(taken, false);
      if (!item.isConnected) return;
      this.#tell(found, told);
    } catch (error) {
      sayError(advice, error);
      advice.className = "advice bad";
    }
  }

  #tell(found, told) {
    const { advice } = this.#parts;
    const problem = problemOf(found);
    if (problem) say(advice, problem.key, problem.values).className = "advice bad";
    else say(advice, `grade.${gradeOf(found.quality)}`).className = `advice ${gradeOf(found.quality)}`;
    const lines = problem ? [] : hintsOf(found.quality);
    if (problem) told.append(say(make("li", { className: "bad" }), problem.key, problem.values));
    if (found.quality) lines.unshift(summaryOf(found.quality));
    told.append(...lines.map(({ key, values }) => say(make("li"), key, values)));
  }

  /** Tell the form, as its other fields do. */
  #isChanged() {
    this.#parts.record.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #remove(item) {
    item.release();
    item.remove();
  }

  #silence() {
    hush(this.#parts.advice).className = "advice";
  }
}
