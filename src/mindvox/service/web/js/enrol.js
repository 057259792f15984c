/** Enrol a person. */

import { problemOf } from "./advice.js";
import { call, formOf, speakerNamed } from "./api.js";
import { make } from "./dom.js";
import { Recordings } from "./recordings.js";
import { clear, clearWhenChanged, line, show, showError, whileBusy } from "./results.js";
import { say, t } from "./texts.js";

const WANTED_S = 10; // of speech; the service says what is the least
const LONGEST_S = 60;
const DAY_MS = 24 * 3600 * 1000;

export class Enrol {
  constructor(section) {
    this.form = section.querySelector("form");
    this.place = section.querySelector(".result");
    this.recordings = new Recordings(section.querySelector(".recordings"), {
      legend: "enrol.recordings", several: true, wanted_s: WANTED_S, longest_s: LONGEST_S,
    });
    clearWhenChanged(this.form, this.place);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  open() {}

  async #submit() {
    const { name, consent } = this.form.elements;
    await this.recordings.stop();
    clear(this.place);
    if (name.value.trim() === "") return this.#missing(name, "enrol.no_name");
    if (this.recordings.taken.length === 0) return this.recordings.complain("recordings.missing");
    if (!consent.checked) return this.#missing(consent, "enrol.no_consent");
    name.removeAttribute("aria-invalid");
    consent.removeAttribute("aria-invalid");
    await whileBusy(this.form, this.place, () => this.#send(name.value.trim()));
  }

  #missing(field, key) {
    show(this.place, "bad", key, {});
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  async #send(name) {
    const { group, expires } = this.form.elements;
    const fields = { name, group: group.value.trim(), expires: afterDays(expires.value), consent: this.#consent() };
    try {
      this.#tell(await call("POST", "speakers", { form: formOf(this.recordings.taken, fields) }), "enrol.done");
    } catch (error) {
      showError(this.place, error);
      if (error.code === "already_enrolled") this.place.append(this.#offer(name));
    }
  }

  /** Return what the person agreed to, in the words that were shown, and when. */
  #consent() {
    return `${t("enrol.consent")} (${new Date().toISOString()})`;
  }

  #offer(name) {
    const button = say(make("button", { type: "button" }), "enrol.add", { name });
    button.addEventListener("click", () => whileBusy(this.form, this.place, () => this.#add(name)));
    return make("p", {}, button);
  }

  async #add(name) {
    const speaker = await speakerNamed(name);
    const form = formOf(this.recordings.taken);
    this.#tell(await call("POST", `speakers/${speaker.id}/recordings`, { form }), "enrol.added");
  }

  #tell(done, key) {
    const leftOut = done.recordings.filter((recording) => recording.problem);
    const notes = leftOut.map((recording) => {
      const { key: problem, values } = problemOf(recording);
      return make("p", {}, `${recording.name}: `, say(make("span"), problem, values));
    });
    for (const match of done.same_voice) notes.push(line("enrol.same_voice", match));
    show(this.place, "good", key, { name: done.name }, ...notes, next(done.name));
    this.recordings.clear();
    this.form.reset();
  }
}

/** Return the moment after a number of days, ISO 8601; "" stays what it is. */
const afterDays = (days) => (days === "" ? "" : new Date(Date.now() + days * DAY_MS).toISOString());

function next(name) {
  return make("p", {}, say(make("a", { href: `#verify/${encodeURIComponent(name)}` }), "enrol.then_verify"));
}
