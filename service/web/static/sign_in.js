/** Signing in: the API key is asked for once, and exchanged for a cookie that no script can read. */

import { askJson, readProblem, send } from "./api.js";
import { el } from "./dom.js";

/**
 * @returns {() => Promise<void>} Asks for a key; ends when the service has taken one. However many
 *   ask at once, one dialog is shown.
 */
export function signInDialog() {
  const key = el("input", { type: "password", id: "key", autocomplete: "current-password", required: true });
  const problem = el("p", { class: "problem", role: "alert" });
  /** @type {(() => void)[]} */
  let waiting = [];
  const form = el(
    "form",
    { submit: (/** @type {Event} */ event) => signIn(event) },
    el("h2", { id: "sign-in-title" }, "Sign in"),
    el("label", { for: "key" }, "API key"),
    key,
    problem,
    el("button", { type: "submit" }, "Sign in"),
  );
  const dialog = el(
    "dialog",
    {
      "aria-labelledby": "sign-in-title",
      // Nothing can be done without a key.
      close: () => waiting.length > 0 && dialog.showModal(),
    },
    form,
  );
  document.body.append(dialog);

  /** @param {Event} event */
  async function signIn(event) {
    event.preventDefault();
    try {
      const headers = { "X-API-Key": asHeader(key.value) };
      const answer = await send("v1/session", { method: "POST", headers });
      if (!answer.ok) {
        throw await readProblem(answer);
      }
      key.value = "";
      problem.textContent = "";
      waiting.forEach((done) => done());
      waiting = [];
      dialog.close();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  return () =>
    new Promise((done) => {
      waiting.push(done);
      if (!dialog.open) {
        dialog.showModal();
      }
    });
}

/**
 * @param {string} text
 * @returns {string} Its bytes in UTF-8, as a header carries them.
 */
function asHeader(text) {
  return String.fromCharCode(...new TextEncoder().encode(text.trim()));
}

/**
 * @typedef {object} Session
 * @property {string} name Of the key; `anonymous` where none is needed.
 * @property {"reader" | "admin"} role
 * @property {boolean} records Whether analyses are recorded.
 */

/** @returns {Promise<Session>} Signs in first, where a key is needed. */
export function askSession() {
  return askJson("v1/session");
}

/**
 * @param {Session} session
 * @returns {HTMLElement} Who is signed in, and the way out; empty where no key is needed.
 */
export function signedIn({ name, role }) {
  const place = el("span", { class: "account" });
  if (name !== "anonymous") {
    place.append(
      `${name} (${role}) `,
      el("button", { type: "button", click: signOut }, "Sign out"),
    );
  }
  return place;
}

async function signOut() {
  await send("v1/session", { method: "DELETE" });
  // Nothing of a patient stays in the page.
  location.reload();
}
