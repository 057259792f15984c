/** Who spoke when, with playback of each turn. */

import { call, formOf } from "./api.js";
import { make } from "./dom.js";
import { Recordings } from "./recordings.js";
import { clear, line, show, whileBusy } from "./results.js";
import { label, say } from "./texts.js";

const LONGEST_S = 600;
const COLOURS = 8; // in style.css
const PIXELS_A_SECOND = 4; // at least
const WIDEST = 20000; // pixels

export class Timeline {
  #player = null;
  #url = null;

  constructor(section) {
    this.form = section.querySelector("form");
    this.place = section.querySelector(".result");
    this.turns = section.querySelector(".turns");
    this.recordings = new Recordings(section.querySelector(".recordings"), {
      legend: "timeline.recording", longest_s: LONGEST_S, judged: false,
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  open() {}

  async #submit() {
    const { num_speakers, names } = this.form.elements;
    await this.recordings.stop();
    clear(this.place);
    if (this.recordings.taken.length === 0) return this.recordings.complain("recordings.missing");
    if (!num_speakers.checkValidity()) {
      show(this.place, "bad", "timeline.bad_count", {});
      return void num_speakers.focus();
    }
    const [recording] = this.recordings.taken;
    const form = formOf([recording], { num_speakers: num_speakers.value, names: names.checked ? "true" : "" });
    this.turns.replaceChildren();
    await whileBusy(this.form, this.place, async () => this.#tell(await call("POST", "diarize", { form }), recording.blob));
  }

  #tell(found, blob) {
    if (found.turns.length === 0) return show(this.place, "unsure", "timeline.nobody", {});
    const names = found.speakers.map(({ speaker }) => speaker);
    show(this.place, "good", "timeline.done", { count: names.length, duration_s: found.duration_s });
    URL.revokeObjectURL(this.#url);
    this.#url = URL.createObjectURL(blob);
    this.#player = new TurnPlayer(this.#url);
    const lanes = names.map((name, place) => this.#lane(found, name, place));
    const chart = label(make("div", { className: "lanes", role: "group", tabIndex: 0 }, ...lanes), "timeline.chart");
    const list = make("ol", { className: "spoken" }, ...found.turns.map((turn) => this.#line(turn, names)));
    this.turns.replaceChildren(this.#shares(found), chart, this.#player.audio, say(make("h2"), "timeline.list"), list);
  }

  /** Return who spoke for how long. */
  #shares(found) {
    const items = found.speakers.map(({ speaker, speech_s }, place) =>
      make("li", {}, swatch(place), nameOf(speaker), ": ",
        say(make("span"), "timeline.share", { speech_s, share: (100 * speech_s) / found.duration_s })),
    );
    return make("ul", { className: "shares" }, ...items);
  }

  /** Return one speaker's line of the chart; the list below it says the same to screen readers. */
  #lane(found, name, place) {
    const track = make("div", { className: "track", "aria-hidden": "true" });
    track.style.minWidth = `${Math.min(PIXELS_A_SECOND * found.duration_s, WIDEST)}px`;
    for (const turn of found.turns.filter(({ speaker }) => speaker === name)) {
      const bar = make("span", { className: `turn speaker-${place % COLOURS}` });
      bar.style.left = `${(100 * turn.start_s) / found.duration_s}%`;
      bar.style.width = `${(100 * (turn.end_s - turn.start_s)) / found.duration_s}%`;
      bar.addEventListener("click", () => this.#player.play(turn, bar));
      track.append(bar);
    }
    return make("div", { className: "lane" }, make("span", { className: "name" }, nameOf(name)), track);
  }

  #line(turn, names) {
    const button = make("button", { type: "button", className: "quiet" }, "▶ ", `${clock(turn.start_s)} – ${clock(turn.end_s)}`);
    const values = { speaker: turn.speaker, number: numberOf(turn.speaker), start: clock(turn.start_s), end: clock(turn.end_s) };
    label(button, values.number === null ? "timeline.play" : "timeline.play_number", values);
    const item = make("li", {}, button, swatch(names.indexOf(turn.speaker)), nameOf(turn.speaker));
    button.addEventListener("click", () => this.#player.play(turn, item));
    return item;
  }
}

/** Plays one turn of a recording, and marks what is playing. */
class TurnPlayer {
  #marked = null;
  #end_s = Infinity;

  constructor(url) {
    this.audio = label(make("audio", { controls: true, preload: "auto", src: url }), "timeline.player");
    this.audio.addEventListener("pause", () => this.#mark(null));
    this.audio.addEventListener("error", () => this.audio.after(line("timeline.unplayable")), { once: true });
  }

  /** Play a turn and mark an element meanwhile. */
  async play(turn, element) {
    this.audio.pause();
    this.#mark(element);
    this.#end_s = turn.end_s;
    this.audio.currentTime = turn.start_s;
    try {
      await this.audio.play();
    } catch {
      return this.#mark(null); // another turn was asked for meanwhile, or the browser has no decoder, which is said
    }
    this.#watch(element);
  }

  /** Stop at the end of the turn; the event `timeupdate` would be a quarter of a second late. */
  #watch(element) {
    if (this.#marked !== element) return;
    if (this.audio.currentTime >= this.#end_s) this.audio.pause();
    else requestAnimationFrame(() => this.#watch(element));
  }

  #mark(element) {
    this.#marked?.classList.remove("playing");
    this.#marked = element;
    element?.classList.add("playing");
  }
}

/** Return the number of somebody whom the service does not know by name, else null. */
const numberOf = (speaker) => /^speaker_(\d+)$/.exec(speaker)?.[1] ?? null;

/** Return an element that says who somebody is. */
function nameOf(speaker) {
  const number = numberOf(speaker);
  return number === null ? make("span", {}, speaker) : say(make("span"), "timeline.speaker", { number });
}

const swatch = (place) => make("span", { className: `swatch speaker-${place % COLOURS}`, "aria-hidden": "true" });

/** Return m:ss.t. */
function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const [minutes, rest] = [Math.floor(tenths / 600), tenths % 600];
  return `${minutes}:${String(Math.floor(rest / 10)).padStart(2, "0")}.${rest % 10}`;
}
