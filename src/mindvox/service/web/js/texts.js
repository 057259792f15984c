/**
 * What the page says, in the language that the user chose. Elements remember what they say, so that all of the page,
 * results included, changes with the language.
 *
 * In a text, {name} is a value, {score:2} a number with two decimals, {when:date} a date, and {count|file|files} a word
 * for one and another word for several.
 */

const LANGUAGES = ["en", "zh"];
const STORED = "mindvox.language";
const values = new WeakMap(); // of elements: of their texts and labels

let language = "en";
let texts = {};

export const current = () => language;

/** Return the language that was chosen before, else the browser's, else English. */
export function preferred() {
  const wanted = [localStorage.getItem(STORED), ...navigator.languages].map((name) => name?.slice(0, 2));
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

/** Load a language and say everything in it. */
export async function use(name) {
  const answer = await fetch(new URL(`../texts/${name}.json`, import.meta.url));
  texts = await answer.json();
  language = name;
  localStorage.setItem(STORED, name);
  document.documentElement.lang = name === "zh" ? "zh-Hans" : name;
  translate(document);
}

export const has = (key) => Object.hasOwn(texts, key);

/** Return a text, with its values filled in. */
export function t(key, given = {}) {
  const text = texts[key] ?? key;
  return text
    .replace(/\{(\w+)\|([^|}]*)\|([^}]*)\}/g, (_, name, one, several) => (given[name] === 1 ? one : several))
    .replace(/\{(\w+)(?::(\w+))?\}/g, (_, name, format) => formatted(given[name], format));
}

function formatted(value, format) {
  if (format === "date") return new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(value));
  if (typeof value !== "number") return String(value);
  const digits = Number(format ?? 0);
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Let an element say a text, now and after a change of language; return it. */
export function say(element, key, given = {}) {
  element.dataset.text = key;
  values.set(element, given);
  const text = t(key, given);
  if (element.textContent !== text) element.textContent = text; // a screen reader would read an equal one again
  return element;
}

/** Let a text be an element's name for screen readers; return it. */
export function label(element, key, given = {}) {
  element.dataset.label = key;
  values.set(element, given);
  element.setAttribute("aria-label", t(key, given));
  return element;
}

/** Let an element say nothing; return it. */
export function hush(element) {
  delete element.dataset.text;
  element.replaceChildren();
  return element;
}

/** Say all texts below a node in the language of now. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-text]")) say(element, element.dataset.text, values.get(element));
  for (const element of root.querySelectorAll("[data-label]")) label(element, element.dataset.label, values.get(element));
}
