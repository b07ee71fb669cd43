/** Recorded analyses: filtered, ordered, page by page. */

import { readMap } from "./anomaly_map.js";
import { ask, askJson, Problem } from "./api.js";
import { el } from "./dom.js";
import { ItemList } from "./list.js";
import { servedModels } from "./models.js";

/** @typedef {import("./items.js").Item} Item */

const PAGE = 100;
/** @type {Intl.DateTimeFormatOptions} */
const TIME = { day: "numeric", month: "short", hour: "numeric", minute: "2-digit", second: "2-digit" };

export class Worklist {
  list = new ItemList("Worklist");
  /** @type {string | null} */
  #next = null;
  /** Counts what was asked for, as a slow answer may come after that to a later question. */
  #asked = 0;

  constructor() {
    const changed = () => this.load();
    this.order = choice("Order", changed, { newest: "Newest first", unusual: "Most unusual first" });
    this.reviewed = choice("Judged", changed, {
      false: "Not judged",
      true: "Judged",
      "": "Judged or not",
    });
    this.decision = choice("Decision", changed, {
      "": "Any decision",
      abnormal: "Abnormal",
      normal: "Normal",
    });
    this.source = choice("Source", changed, { "": "Any source", upload: "Uploads", pacs: "PACS" });
    this.model = choice("Model", changed, { "": "Any model" });
    servedModels().then((models) =>
      this.model.append(...models.map(({ name }) => el("option", { value: name }, name))),
    );
    this.status = el("p", { class: "count", role: "status" });
    this.more = el("button", { type: "button", hidden: true, click: () => this.loadMore() }, "More");
    this.element = el(
      "div",
      { class: "worklist" },
      el(
        "div",
        { class: "filters" },
        ...[this.order, this.reviewed, this.decision, this.source, this.model],
        el("button", { type: "button", click: changed }, "Refresh"),
      ),
      this.status,
      this.list.element,
      this.more,
    );
  }

  /** Load the first page of what the filters ask for. */
  async load() {
    this.#begin();
    await this.loadMore();
  }

  /**
   * Load one analysis, whatever the filters ask for.
   *
   * @param {string} id
   */
  async loadOne(id) {
    const turn = this.#begin();
    try {
      const analysis = await askJson(`v1/analyses/${encodeURIComponent(id)}`);
      if (turn === this.#asked) {
        this.list.add([recordedItem(analysis)]);
        this.status.textContent = "1 analysis, from the monitor";
      }
    } catch (error) {
      this.status.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  /** @returns {number} The number of a new question, which starts with an empty list. */
  #begin() {
    this.list.replace([]);
    this.#next = null;
    this.more.hidden = true;
    this.#asked += 1;
    return this.#asked;
  }

  /** Load the page after the last one. */
  async loadMore() {
    const fields = { limit: String(PAGE), cursor: this.#next ?? "" };
    for (const name of /** @type {const} */ (["order", "reviewed", "decision", "source", "model"])) {
      Object.assign(fields, { [name]: this[name].value });
    }
    const turn = this.#asked;
    const query = Object.entries(fields).filter(([, value]) => value !== "");
    try {
      const { items, next } = await askJson(`v1/analyses?${new URLSearchParams(query)}`);
      if (turn !== this.#asked) {
        return;
      }
      this.#next = next;
      this.list.add(items.map(recordedItem));
      this.status.textContent =
        `${this.list.items.length}${next ? " or more" : ""} ` +
        (this.list.items.length === 1 && !next ? "analysis" : "analyses");
    } catch (error) {
      this.status.textContent = error instanceof Error ? error.message : String(error);
    }
    this.more.hidden = this.#next === null;
  }
}

/**
 * @param {string} name
 * @param {() => void} change
 * @param {Record<string, string>} options Texts by value, the first one chosen.
 */
function choice(name, change, options) {
  const made = Object.entries(options).map(([value, text]) => el("option", { value }, text));
  return el("select", { "aria-label": name, change }, ...made);
}

/**
 * @param {any} analysis As `GET /v1/analyses` describes it.
 * @returns {Item}
 */
function recordedItem(analysis) {
  const { id, time, source, image, has_image: kept } = analysis;
  const facts = [image.view, image.age_band, image.sex].filter(Boolean).join(" ");
  const at = new Date(time).toLocaleString(undefined, TIME);
  const path = `v1/analyses/${encodeURIComponent(id)}`;
  // What came from the PACS is still there.
  const there = kept || source === "pacs";
  return {
    id: `analysis-${id}`,
    title: [at, source === "pacs" ? "PACS" : "upload", facts].filter(Boolean).join(" · "),
    state: "done",
    result: analysis,
    problem: null,
    file: async () => {
      if (!there) {
        throw new Problem(404, {
          code: "image_not_kept",
          detail: "The picture of this analysis was not kept with it.",
        });
      }
      return (await ask(`${path}/image`)).blob();
    },
    map: async () => (there ? recordedMap(path) : null),
  };
}

/**
 * @param {string} path Of an analysis.
 * @returns {Promise<import("./anomaly_map.js").AnomalyMap | null>} Null where there is none: its
 *   model, say, is not served any more.
 */
async function recordedMap(path) {
  try {
    return readMap(await (await ask(`${path}/map`)).arrayBuffer());
  } catch (error) {
    if (error instanceof Problem && error.code === "image_not_kept") {
      return null;
    }
    throw error;
  }
}
