/** Who of the enrolled people is this? */

import { problemOf } from "./advice.js";
import { call, formOf } from "./api.js";
import { make } from "./dom.js";
import { Recordings } from "./recordings.js";
import { clear, clearWhenChanged, line, show, whileBusy } from "./results.js";
import { say } from "./texts.js";

const WANTED_S = 3; // of speech
const LONGEST_S = 30;
const ANSWERS = {
  identified: ["good", "identify.identified"],
  unknown: ["bad", "identify.unknown"],
  inconclusive: ["unsure", "identify.inconclusive"],
};

export class Identify {
  constructor(section) {
    this.form = section.querySelector("form");
    this.place = section.querySelector(".result");
    this.recordings = new Recordings(section.querySelector(".recordings"), {
      legend: "identify.recording", wanted_s: WANTED_S, longest_s: LONGEST_S,
    });
    clearWhenChanged(this.form, this.place);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  open() {}

  async #submit() {
    await this.recordings.stop();
    clear(this.place);
    if (this.recordings.taken.length === 0) return this.recordings.complain("recordings.missing");
    const form = formOf(this.recordings.taken, { group: this.form.elements.group.value.trim() });
    await whileBusy(this.form, this.place, async () => this.#tell(await call("POST", "identify", { form })));
  }

  #tell(found) {
    const lines = [];
    const problem = problemOf(found.recordings[0]);
    if (problem) lines.push(line(problem.key, problem.values));
    if (found.code === "other_band") lines.push(line("verify.other_band"));
    if (found.answer === "unknown" && found.matches.length === 0) lines.push(line("identify.nobody"));
    if (found.matches.length > 0) lines.push(line("identify.threshold", { threshold: found.threshold.value }), nearest(found));
    show(this.place, ...ANSWERS[found.answer], { name: found.speaker?.name }, ...lines);
  }
}

/** Return a table of the people whose voices are nearest. */
function nearest(found) {
  const head = make("tr", {}, ...["identify.name", "identify.score"].map((key) => say(make("th", { scope: "col" }), key)));
  const rows = found.matches.map(({ name, score }) =>
    make("tr", {}, make("td", {}, name), say(make("td"), "identify.value", { score })),
  );
  return make("table", {}, say(make("caption"), "identify.nearest"), make("thead", {}, head), make("tbody", {}, ...rows));
}
