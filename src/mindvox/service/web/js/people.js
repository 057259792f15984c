/** The enrolled people: find, rename, delete. */

import { call } from "./api.js";
import { ask, make } from "./dom.js";
import { clear, line, show, showError } from "./results.js";
import { label, say } from "./texts.js";

const A_PAGE = 20;

export class People {
  #before = []; // marks of the pages before this one
  #mark = null; // of this page; null: the first
  #next = null;

  constructor(section) {
    this.title = section.querySelector("h1");
    this.form = section.querySelector("form");
    this.place = section.querySelector(".result");
    this.list = section.querySelector(".people");
    this.earlier = section.querySelector("#people-before");
    this.later = section.querySelector("#people-after");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.open();
    });
    this.earlier.addEventListener("click", () => this.#turn(this.#before.pop()));
    this.later.addEventListener("click", () => {
      this.#before.push(this.#mark);
      this.#turn(this.#next);
    });
  }

  /** Show the first page. */
  async open() {
    this.#before = [];
    clear(this.place);
    await this.#load(null);
  }

  async #turn(mark) {
    clear(this.place);
    await this.#load(mark);
    this.title.focus();
  }

  async #load(mark) {
    const name = this.form.elements.name.value.trim();
    try {
      const { speakers, next } = await call("GET", "speakers", { query: { limit: A_PAGE, after: mark, name } });
      this.#mark = mark;
      this.#next = next ?? null;
      this.list.replaceChildren(...speakers.map((speaker) => this.#item(speaker)));
      if (speakers.length === 0) this.place.append(line(name === "" ? "people.none" : "people.not_found", { name }));
    } catch (error) {
      this.list.replaceChildren();
      showError(this.place, error);
    }
    this.earlier.hidden = this.#before.length === 0;
    this.later.hidden = this.#next === null;
  }

  #item(speaker) {
    const button = (key, act, className = "quiet") => {
      const made = say(make("button", { type: "button", className }), key);
      label(made, `${key}_name`, speaker);
      made.addEventListener("click", act);
      return made;
    };
    const facts = [line("people.recordings", { count: speaker.num_recordings, when: speaker.created })];
    if (speaker.group) facts.push(line("people.group", speaker));
    if (speaker.expires) facts.push(line("people.expires", { when: speaker.expires }));
    const verify = say(make("a", { href: `#verify/${encodeURIComponent(speaker.name)}` }), "people.verify");
    label(verify, "people.verify_name", speaker);
    return make(
      "li",
      {},
      make("h2", {}, speaker.name),
      ...facts,
      make("p", { className: "buttons" }, verify, button("people.rename", () => this.#rename(speaker)),
        button("people.delete", () => this.#delete(speaker), "danger")),
    );
  }

  async #rename(speaker) {
    const dialog = document.getElementById("rename");
    const field = document.getElementById("rename-name");
    say(document.getElementById("rename-title"), "rename.title", speaker);
    field.value = speaker.name;
    const isMeant = (await ask(dialog)) === "yes";
    const name = field.value.trim();
    if (!isMeant || name === "" || name === speaker.name) return;
    await this.#change(() => call("PATCH", `speakers/${speaker.id}`, { json: { name } }), "rename.done", {
      name: speaker.name, new_name: name,
    });
  }

  async #delete(speaker) {
    const dialog = document.getElementById("delete");
    say(document.getElementById("delete-title"), "delete.title", speaker);
    if ((await ask(dialog)) !== "yes") return;
    await this.#change(() => call("DELETE", `speakers/${speaker.id}`), "delete.done", speaker);
  }

  /** Change something, show the page again, and say what was done. */
  async #change(act, key, values) {
    try {
      await act();
    } catch (error) {
      return showError(this.place, error);
    }
    clear(this.place);
    await this.#load(this.#mark);
    show(this.place, "good", key, values);
    this.title.focus();
  }
}
