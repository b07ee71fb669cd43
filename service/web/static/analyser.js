/** Has files analysed one after the other, a few at a time. */

import { readMap } from "./anomaly_map.js";
import { askJson, upload } from "./api.js";

/** @typedef {import("./items.js").Item} Item */

/** As many as keep the service busy while one of them is on its way. */
const AT_ONCE = 3;

export class Analyser {
  /** @type {Item[]} */
  #waiting = [];
  #running = 0;

  /**
   * @param {() => string} model Name of the model to ask, for what is analysed from now on; empty
   *   for the service's own choice.
   * @param {(item: Item) => void} changed Called whenever the state of an item has changed.
   */
  constructor(model, changed) {
    this.#model = model;
    this.#changed = changed;
  }

  /** @type {() => string} */
  #model;

  /** @type {(item: Item) => void} */
  #changed;

  /** @param {Item[]} items */
  add(items) {
    this.#waiting.push(...items);
    while (this.#running < AT_ONCE && this.#waiting.length > 0) {
      this.#running += 1;
      this.#work();
    }
  }

  async #work() {
    for (let item = this.#waiting.shift(); item; item = this.#waiting.shift()) {
      item.state = "analysing";
      this.#changed(item);
      await analyse(item, this.#model());
      this.#changed(item);
    }
    this.#running -= 1;
  }
}

/**
 * Have one file analysed; what goes wrong is noted in the item.
 *
 * @param {Item} item
 * @param {string} model
 */
async function analyse(item, model) {
  const query = new URLSearchParams({ map: "base64", style: "raw16", ...(model && { model }) });
  try {
    const file = await item.file();
    const result = await askJson(`v1/predict?${query}`, upload(file));
    const png = Uint8Array.from(atob(result.map.base64), (letter) => letter.charCodeAt(0));
    const map = await readMap(png.buffer);
    Object.assign(item, { state: "done", result: { ...result, map: null }, map: async () => map });
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    Object.assign(item, { state: "failed", problem });
  }
}
