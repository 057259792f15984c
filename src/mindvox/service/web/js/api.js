/** Calls of the service. */

import { ask } from "./dom.js";

const TOKEN = "mindvox.token"; // in sessionStorage: gone when the tab is closed

/** An answer that is no success, or none: `code` is in the texts under "error."; `detail` is the service's sentence. */
export class ServiceError extends Error {
  constructor(code, detail, retryAfter_s) {
    super(detail);
    Object.assign(this, { code, detail, retryAfter_s });
  }
}

/**
 * Call the service; ask for a token where it wants one.
 *
 * @param {string} method such as "POST"
 * @param {string} path below v1/, such as "speakers"
 * @param {{form?: FormData, json?: object, query?: object, quiet?: boolean}} what is sent; quiet: never ask for a token
 * @returns {Promise<object|null>} the answer; null where it is empty
 * @throws {ServiceError}
 */
export async function call(method, path, { form, json, query = {}, quiet = false } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const url = `v1/${path}${given.length > 0 ? "?" : ""}${new URLSearchParams(given)}`;
  let answer = await send(method, url, form, json);
  while (answer.status === 401 && !quiet && (await askForToken())) answer = await send(method, url, form, json);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw await errorOf(answer);
}

/** Return a form with recordings, {blob, name}, and further fields; empty ones are left out. */
export function formOf(recordings, fields = {}) {
  const form = new FormData();
  for (const { blob, name } of recordings) form.append("recordings", blob, name);
  for (const [name, value] of Object.entries(fields)) if (value !== null && value !== "") form.append(name, value);
  return form;
}

export const examine = (recording, quiet) => call("POST", "examine", { form: formOf([recording]), quiet });

/** Return the enrolled speaker of this name, or null. */
export async function speakerNamed(name) {
  const { speakers } = await call("GET", "speakers", { query: { name, limit: 1 } });
  return speakers[0] ?? null;
}

/** Ask for a token, keep it, and return whether to try again. */
export async function askForToken() {
  const dialog = document.getElementById("token");
  if (dialog.open) return false;
  const field = document.getElementById("token-value");
  field.value = "";
  const chosen = await ask(dialog);
  const token = field.value.trim();
  field.value = "";
  if (chosen === "forget") sessionStorage.removeItem(TOKEN);
  if (chosen !== "use" || token === "") return false;
  sessionStorage.setItem(TOKEN, token);
  return true;
}

/** Show the button that changes the token where the service wants one. */
export async function showTokenButton() {
  const { needs_token } = await call("GET", "health");
  document.getElementById("token-open").hidden = !needs_token;
}

async function send(method, url, form, json) {
  const headers = { Accept: "application/json, application/problem+json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(url, { method, headers, body: form ?? (json && JSON.stringify(json)), cache: "no-store" });
  } catch {
    throw new ServiceError("unreachable", "");
  }
}

async function errorOf(answer) {
  const wait_s = Number(answer.headers.get("Retry-After")) || null;
  try {
    const problem = await answer.json();
    return new ServiceError(problem.code ?? "failed", problem.detail ?? problem.title ?? "", wait_s);
  } catch {
    return new ServiceError("failed", `HTTP ${answer.status}`, wait_s); // a proxy's page, which is no JSON
  }
}
