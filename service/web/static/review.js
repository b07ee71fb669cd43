/** What a reader says of the open analysis: a verdict and a note, which nobody overwrites unseen. */

import { askJson, json, Problem } from "./api.js";
import { el } from "./dom.js";

/** @typedef {import("./items.js").Item} Item */
/** @typedef {"abnormal" | "normal" | "unsure"} Verdict */

/** How often, and after how many milliseconds, an answer is looked for that is not recorded yet. */
const [TRIES, PAUSE_MS] = [8, 300];

export class ReviewForm {
  /** @type {Item | null} */
  #item = null;
  #busy = false;

  /** @param {(item: Item) => void} judged Called when a verdict has been recorded. */
  constructor(judged) {
    this.#judged = judged;
    this.note = el("textarea", { id: "note", rows: 2, maxlength: 2000 });
    this.standing = el("p", { class: "standing" });
    this.problem = el("p", { class: "problem", role: "alert" });
    this.buttons = /** @type {const} */ (["abnormal", "normal", "unsure"]).map((verdict) =>
      el(
        "button",
        {
          type: "button",
          class: verdict,
          title: `${verdict} (${verdict[0]})`,
          click: () => this.judge(verdict),
        },
        verdict[0].toUpperCase() + verdict.slice(1),
      ),
    );
    this.element = el(
      "section",
      { class: "review", "aria-label": "Your verdict", hidden: true },
      el("h3", {}, "Your verdict"),
      this.standing,
      el("label", { for: "note" }, "Note"),
      this.note,
      el("div", { class: "verdicts" }, ...this.buttons),
      this.problem,
    );
  }

  /** @type {(item: Item) => void} */
  #judged;

  /** @param {Item | null} item */
  open(item) {
    if (this.#item !== item) {
      this.note.value = item?.result?.review?.note ?? "";
      this.problem.textContent = "";
    }
    this.#item = item;
    this.#show();
  }

  /** @param {Verdict} verdict */
  async judge(verdict) {
    const item = this.#item;
    if (!item?.result || this.#busy) {
      return;
    }
    this.#busy = true;
    this.problem.textContent = "";
    try {
      const revision = item.result.review?.revision ?? 0;
      item.result.review = await send(item, { verdict, note: this.note.value, revision });
      this.#judged(item);
    } catch (error) {
      const other = error instanceof Problem && error.code === "review_conflict";
      if (other) {
        item.result.review = /** @type {any} */ (error.document.review);
      }
      if (item === this.#item) {
        const text = error instanceof Error ? error.message : String(error);
        this.problem.textContent = other
          ? "Somebody else judged this meanwhile, so your verdict was not recorded. Theirs is " +
            "above; judge again to put yours after it."
          : text;
      }
    } finally {
      this.#busy = false;
      this.#show();
    }
  }

  #show() {
    const review = this.#item?.result?.review;
    this.element.hidden = !this.#item?.result;
    this.standing.textContent = review ? said(review) : "Not judged yet.";
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", String(button.classList.contains(review?.verdict)));
    }
  }
}

/**
 * @param {any} review
 * @returns {string}
 */
function said({ verdict, note, reviewer, time, revision }) {
  const at = new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const again = revision > 1 ? `, verdict ${revision}` : "";
  return `${reviewer} said ${verdict} on ${at}${again}${note ? `: ${note}` : "."}`;
}

/**
 * @param {Item} item
 * @param {{verdict: Verdict, note: string, revision: number}} review
 */
async function send(item, review) {
  const path = `v1/analyses/${encodeURIComponent(item.result.id)}/reviews`;
  for (let tried = 1; ; tried += 1) {
    try {
      return await askJson(path, json(review));
    } catch (error) {
      // An answer is recorded a moment after it was given.
      const early = error instanceof Problem && error.code === "analysis_not_found";
      if (!early || tried === TRIES) {
        throw error;
      }
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }
}
