/** The versions of a model in the model store, of which an admin takes another one into use. */

import { askJson, json } from "./api.js";
import { el } from "./dom.js";
import { forgetModels } from "./models.js";

/**
 * @typedef {object} Version
 * @property {string} version
 * @property {string | null} sha256
 * @property {boolean} in_use
 * @property {{n_normal: number, k: number} | null} training
 * @property {{code: string, summary: string} | null} error Why it cannot be taken into use.
 */

const HEADS = ["Version", "Trained on", "SHA-256", "State"];

/** A table of them, with a button beside each that an admin may take into use. */
export class Versions {
  #path;
  #role;
  #changed;
  #inUse = "";
  #rows = el("tbody");

  /**
   * @param {string} name Of the model.
   * @param {"reader" | "admin"} role Of the caller; the service checks it as well.
   * @param {() => Promise<void>} changed Called when another version answers.
   */
  constructor(name, role, changed) {
    this.#path = `v1/models/${encodeURIComponent(name)}`;
    this.#role = role;
    this.#changed = changed;
    this.status = el("p", { role: "status", tabindex: -1 });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.dialog = el("dialog", { "aria-labelledby": "promote-title" });
    const heads = HEADS.map((head) => el("th", { scope: "col" }, head));
    this.element = el(
      "section",
      { "aria-labelledby": "versions-title" },
      el("h3", { id: "versions-title" }, "Versions in the model store"),
      this.status,
      this.problem,
      el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Versions" },
        el("table", {}, el("thead", {}, el("tr", {}, ...heads)), this.#rows)),
      this.dialog,
    );
  }

  /** Ask for them, and show them. */
  async load() {
    const { in_use: inUse, versions } = await askJson(`${this.#path}/versions`);
    this.#inUse = inUse.version;
    this.#rows.replaceChildren(...versions.map((/** @type {Version} */ each) => this.#row(each)));
  }

  /** @param {Version} version */
  #row(version) {
    const { sha256, training } = version;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, version.version),
      el("td", {}, training && `${training.n_normal} normal, ${training.k} abnormal`),
      el("td", {}, sha256 && el("code", { title: sha256 }, sha256.slice(0, 12))),
      el("td", {}, ...this.#state(version)),
    );
  }

  /**
   * @param {Version} version
   * @returns {(Node | string)[]}
   */
  #state({ version, in_use: inUse, error }) {
    const reason =
      error && el("span", { class: "problem" }, `Cannot be used: ${error.summary} (${error.code})`);
    if (inUse) {
      return reason ? ["In use. On disk: ", reason] : ["In use"];
    }
    if (reason) {
      return [reason];
    }
    if (this.#role !== "admin") {
      return ["Not in use"];
    }
    const label = { "aria-label": `Take into use: version ${version}` };
    return [
      el("button", { type: "button", ...label, click: () => this.#confirm(version) }, "Take into use"),
    ];
  }

  /** @param {string} version */
  #confirm(version) {
    const close = () => this.dialog.close();
    const promote = () => {
      close();
      this.#promote(version);
    };
    this.dialog.replaceChildren(
      el("h2", { id: "promote-title" }, `Take version ${version} into use?`),
      el(
        "p",
        {},
        `Version ${version} takes the place of version ${this.#inUse}. This applies to the whole ` +
          `service: version ${version} answers everybody from then on. You can go back to version ` +
          `${this.#inUse} in the same way.`,
      ),
      el(
        "p",
        { class: "group" },
        el("button", { type: "button", autofocus: true, click: close }, "Cancel"),
        el("button", { type: "button", click: promote }, `Take version ${version} into use`),
      ),
    );
    this.dialog.showModal();
  }

  /** @param {string} version */
  async #promote(version) {
    this.#rows.querySelectorAll("button").forEach((button) => (button.disabled = true));
    this.problem.textContent = "";
    this.status.textContent = `Loading version ${version} and running its golden check…`;
    this.status.focus();
    let said = "";
    try {
      await askJson(`${this.#path}/promote`, json({ version }));
      said = `Version ${version} is in use.`;
      forgetModels();
      await this.#changed();
    } catch (error) {
      this.#fail(said ? "" : `Version ${version} was not taken into use: `, error);
    }
    try {
      await this.load();
    } catch (error) {
      this.#fail("The versions could not be listed again: ", error);
    }
    if (said && this.#inUse !== version) {
      // Each process of a service looks at the model store by itself.
      said += " Another process of this service still answers with the old one; it follows shortly.";
    }
    this.status.textContent = said;
  }

  /**
   * @param {string} what
   * @param {unknown} error
   */
  #fail(what, error) {
    this.problem.textContent = what + (error instanceof Error ? error.message : String(error));
  }
}
