/** Results and errors in words. */

import { make } from "./dom.js";
import { has, hush, say } from "./texts.js";

const MOST = 1000; // times; no calibration knows more than that
const MARKS = { good: "✓", bad: "✗", unsure: "?" };

/** Let an element say what went wrong: by the code where the texts have it, else the service's sentence. */
export function sayError(element, error) {
  const key = `error.${error.code}`;
  if (error.code === undefined) throw error; // our own mistake
  return has(key)
    ? say(element, key, { detail: error.detail, wait_s: error.retryAfter_s ?? 1 })
    : say(element, "error.other", { detail: error.detail || error.code });
}

/** Show an error as a result. */
export function showError(place, error) {
  const text = sayError(make("p", { className: "verdict bad" }), error);
  place.replaceChildren(text, ...detailOf(error, text));
}

/** Show a headline, marked by a sign and a word and not by colour alone, and what belongs to it. */
export function show(place, kind, key, values, ...more) {
  const headline = make(
    "p",
    { className: `verdict ${kind}` },
    make("span", { className: "mark", "aria-hidden": "true" }, MARKS[kind]),
    say(make("span"), key, values),
  );
  place.replaceChildren(headline, ...more.filter(Boolean));
}

/** Say that something goes on. */
export function showBusy(place) {
  place.replaceChildren(say(make("p", { className: "busy" }), "page.busy"));
}

export const clear = (place) => hush(place);

/** Take a result away as soon as the form that it answered is changed: it is not about what is seen there then. */
export function clearWhenChanged(form, place) {
  form.addEventListener("input", () => {
    if (form.getAttribute("aria-busy") !== "true") clear(place);
  });
}

/** Return a paragraph. */
export const line = (key, values = {}) => say(make("p"), key, values);

/** Return what the score of a comparison means: how much likelier one person makes it, or what it is held against. */
export function meaningOf({ llr, thresholds }) {
  if (llr === null) return line("meaning.thresholds", thresholds);
  const times = Math.exp(Math.abs(llr));
  if (times < 1.5) return line("meaning.nothing");
  const key = llr > 0 ? "meaning.same" : "meaning.different";
  return times > MOST ? line(`${key}_most`, { times: MOST }) : line(key, { times: Number(times.toPrecision(2)) });
}

/** Return the service's own sentence where the texts' one leaves something out. */
function detailOf(error, text) {
  const isSaid = !error.detail || text.textContent.includes(error.detail);
  return isSaid ? [] : [make("p", { className: "detail", lang: "en" }, error.detail)];
}

/** Run something while a form is busy: its button cannot be pressed twice, and errors are shown. */
export async function whileBusy(form, place, work) {
  const button = form.querySelector("button[type=submit]");
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true"); // which keeps the focus, unlike `disabled`
  form.setAttribute("aria-busy", "true");
  showBusy(place);
  try {
    await work();
  } catch (error) {
    showError(place, error);
  } finally {
    button.removeAttribute("aria-disabled");
    place.scrollIntoView({ block: "nearest" });
    form.removeAttribute("aria-busy");
  }
}
