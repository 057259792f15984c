/** Starts the page: language, token, and the view that the address names, such as #verify/Anna. */

import { askForToken, showTokenButton } from "./api.js";
import { Enrol } from "./enrol.js";
import { Identify } from "./identify.js";
import { People } from "./people.js";
import { stopRecording } from "./recordings.js";
import { current, preferred, t, use } from "./texts.js";
import { Timeline } from "./timeline.js";
import { Verify } from "./verify.js";

const VIEWS = { enrol: Enrol, verify: Verify, identify: Identify, people: People, timeline: Timeline };
const views = {};

/** Show the view of the address; move the focus to its title unless the page has just been loaded. */
async function show(isFirst = false) {
  await stopRecording(); // nobody should be heard by a view that is not seen
  const [wanted, argument = ""] = location.hash.slice(1).split("/");
  const name = Object.hasOwn(VIEWS, wanted) ? wanted : "enrol";
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`${name}.title`)} – MindVox`;
  if (!isFirst) document.getElementById(`${name}-title`).focus();
  await views[name].open(decoded(argument));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // an address that somebody mistyped
  }
}

async function start() {
  const languages = document.getElementById("language");
  await use(preferred());
  languages.value = current();
  languages.addEventListener("change", async () => {
    await use(languages.value);
    const { id } = document.querySelector("main > section:not([hidden])");
    document.title = `${t(`${id}.title`)} – MindVox`;
  });
  document.getElementById("token-open").addEventListener("click", askForToken);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the part after # in the address is the view's
    document.getElementById("main").focus();
  });
  for (const [name, View] of Object.entries(VIEWS)) views[name] = new View(document.getElementById(name));
  window.addEventListener("hashchange", () => show());
  await Promise.all([showTokenButton(), show(true)]);
}

start();
