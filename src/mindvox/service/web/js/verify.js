/** Is this the person? Or: are two recordings of one person? */

import { problemOf } from "./advice.js";
import { call, formOf, speakerNamed } from "./api.js";
import { make } from "./dom.js";
import { Recordings } from "./recordings.js";
import { clear, clearWhenChanged, line, meaningOf, show, whileBusy } from "./results.js";
import { say } from "./texts.js";

const WANTED_S = 3; // of speech
const LONGEST_S = 30;
const SUGGESTED = 100; // names
const KINDS = { accept: "good", reject: "bad", inconclusive: "unsure" };
const OF_SPEAKER = {
  accept: "verify.speaker_accept",
  reject: "verify.speaker_reject",
  inconclusive: "verify.speaker_inconclusive",
};
const OF_PAIR = {
  accept: "verify.pair_accept",
  reject: "verify.pair_reject",
  inconclusive: "verify.pair_inconclusive",
};

/** Whether a calibration decides, and has no ratio for these recordings: it does not know their band. */
const hasNoRatio = ({ llr, thresholds }) => llr === null && thresholds.of !== "cosine";

export class Verify {
  constructor(section) {
    this.form = section.querySelector("form");
    this.place = section.querySelector(".result");
    this.who = section.querySelector("#verify-who");
    this.names = section.querySelector("#verify-names");
    this.firstPlace = section.querySelector("#verify-first");
    const limits = { wanted_s: WANTED_S, longest_s: LONGEST_S };
    this.first = new Recordings(this.firstPlace, { legend: "verify.first", ...limits });
    this.second = new Recordings(section.querySelector("#verify-second"), { legend: "verify.second", ...limits });
    for (const choice of this.form.elements.with) choice.addEventListener("change", () => this.#choose());
    clearWhenChanged(this.form, this.place);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    // A browser may have kept the choice of before a reload.
    this.#choose();
  }

  /** Fill in a person's name, where the list of people sent the user here, and suggest names. */
  async open(name = "") {
    if (name !== "") {
      this.form.elements.with.value = "speaker";
      this.form.elements.name.value = name;
      this.#choose();
    }
    try {
      const { speakers } = await call("GET", "speakers", { query: { limit: SUGGESTED }, quiet: true });
      this.names.replaceChildren(...speakers.map((speaker) => make("option", { value: speaker.name })));
    } catch {
      // Names can be typed as well.
    }
  }

  get #isAboutSpeaker() {
    return this.form.elements.with.value === "speaker";
  }

  #choose() {
    this.first.stop();
    this.who.hidden = !this.#isAboutSpeaker;
    this.firstPlace.hidden = this.#isAboutSpeaker;
    clear(this.place); // the list of people may have sent the user here
  }

  async #submit() {
    const { name } = this.form.elements;
    await Promise.all([this.first.stop(), this.second.stop()]);
    clear(this.place);
    if (this.#isAboutSpeaker && name.value.trim() === "") {
      show(this.place, "bad", "verify.no_name", {});
      return void name.focus();
    }
    const fields = this.#isAboutSpeaker ? [this.second] : [this.first, this.second];
    const empty = fields.find((field) => field.taken.length === 0);
    if (empty) return empty.complain("recordings.missing");
    await whileBusy(this.form, this.place, () => this.#send(name.value.trim(), fields));
  }

  async #send(name, fields) {
    const speaker = this.#isAboutSpeaker ? await speakerNamed(name) : null;
    if (this.#isAboutSpeaker && speaker === null) return show(this.place, "bad", "verify.unknown_name", { name });
    const recordings = fields.flatMap((field) => field.taken);
    const form = formOf(recordings, speaker ? { speaker: speaker.id } : {});
    this.#tell(await call("POST", "verify", { form }), speaker);
  }

  #tell(decision, speaker) {
    const { answer, score } = decision;
    const problems = decision.recordings.map(problemOf);
    const lines = problems.flatMap((problem, place) =>
      problem ? [make("p", {}, `${decision.recordings[place].name}: `, say(make("span"), problem.key, problem.values))] : [],
    );
    const isScored = score !== null;
    const isOtherBand = isScored && answer === "inconclusive" && hasNoRatio(decision);
    if (isOtherBand) lines.push(line("verify.other_band"));
    else if (answer === "inconclusive" && isScored) lines.push(line("verify.between"));
    if (isScored) lines.push(line("verify.score", { score }));
    if (isScored && !isOtherBand) lines.push(meaningOf(decision));
    show(this.place, KINDS[answer], (speaker ? OF_SPEAKER : OF_PAIR)[answer], { name: speaker?.name }, ...lines);
  }
}
