/** The service's API: paths relative to the page, errors as the service describes them. */

const ROOT = new URL("../", import.meta.url);
const TRIES = 6;

/** An answer that is not the one asked for: see docs/errors.md for the codes. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP status; 0 where no answer came.
   * @param {{code?: string, detail?: string} & Record<string, unknown>} document
   */
  constructor(status, document) {
    super(document.detail ?? "The service gave no reason.");
    this.status = status;
    this.code = document.code ?? "unknown";
    this.document = document;
  }
}

/** @type {() => Promise<void>} */
let signIn = async () => {};

/**
 * Say what to do when the service asks for a key.
 *
 * @param {() => Promise<void>} handler Ends when the caller has signed in.
 */
export function onSignIn(handler) {
  signIn = handler;
}

/**
 * Ask the service; waits while it is busy, and signs in where it wants a key.
 *
 * @param {string} path Below the root of the service, without a slash at its start.
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} A success.
 */
export async function ask(path, options = {}) {
  for (let tried = 1; ; tried += 1) {
    const answer = await send(path, options);
    if (answer.ok) {
      return answer;
    }
    const problem = await readProblem(answer);
    if (answer.status === 401) {
      await signIn();
    } else if (answer.status === 503 && tried < TRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((done) => setTimeout(done, 1000 * seconds * tried));
    } else {
      throw problem;
    }
  }
}

/**
 * Ask the service once, whatever it answers.
 *
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function send(path, options = {}) {
  // The service answers cookies only with this header, which no other site can send: see sign-in.
  const headers = { ...options.headers, "X-Reading-Room": "1" };
  try {
    return await fetch(new URL(path, ROOT), { ...options, headers });
  } catch {
    throw new Problem(0, { code: "unreachable", detail: "The service cannot be reached." });
  }
}

/**
 * @param {Response} answer
 * @returns {Promise<Problem>}
 */
export async function readProblem(answer) {
  const document = await answer.json().catch(() => ({}));
  return new Problem(answer.status, document);
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/**
 * The request that sends something as JSON.
 *
 * @param {unknown} value
 * @returns {RequestInit}
 */
export function json(value) {
  const headers = { "Content-Type": "application/json" };
  return { method: "POST", headers, body: JSON.stringify(value) };
}

/**
 * The request that uploads one file. Its name stays here: it may be a patient's.
 *
 * @param {Blob} file
 * @returns {RequestInit}
 */
export function upload(file) {
  const body = new FormData();
  body.append("file", file, "radiograph");
  return { method: "POST", body };
}
