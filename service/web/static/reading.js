/** The room itself: opens the item that a list points to, and describes it. */

import { ask, upload } from "./api.js";
import { servedModels } from "./models.js";
import { readPicture } from "./picture.js";
import { describe } from "./result.js";

/** @typedef {import("./items.js").Item} Item */
/** @typedef {import("./picture.js").Picture} Picture */

/** Pictures that are kept to go back to: some 10 MB each. */
const KEPT = 6;

export class Reading {
  /** @type {Item | null} */
  item = null;
  /** @type {Map<string, Picture>} */
  #pictures = new Map();
  /** @type {import("./review.js").ReviewForm | null} Where answers are recorded. */
  review = null;

  /**
   * @param {import("./display.js").Display} display
   * @param {object} places
   * @param {HTMLElement} places.surface
   * @param {HTMLCanvasElement} places.stage
   * @param {HTMLElement} places.message
   * @param {HTMLElement} places.said
   */
  constructor(display, { surface, stage, message, said }) {
    this.display = display;
    this.surface = surface;
    this.stage = stage;
    this.message = message;
    this.said = said;
  }

  /** @param {Item} item */
  async open(item) {
    this.item = item;
    this.display.open(null);
    this.surface.setAttribute("aria-busy", "true");
    this.#say("Reading the file…");
    this.#describe(item);
    try {
      const picture = await this.#picture(item);
      const map = await item.map();
      if (this.item === item) {
        this.#say("");
        this.display.open({ picture, map, result: item.result });
      }
    } catch (error) {
      if (this.item === item) {
        this.failed(error);
      }
    }
    if (this.item === item) {
      this.surface.removeAttribute("aria-busy");
    }
  }

  /**
   * Show what became known of an item, if it is the open one.
   *
   * @param {Item} item
   */
  async refresh(item) {
    if (this.item === item) {
      this.#describe(item);
      const map = await item.map();
      if (this.item === item && this.display.state.shown?.map !== map) {
        this.display.complete({ map, result: item.result });
      }
    }
  }

  /**
   * Show an error of something that the reader asked for.
   *
   * @param {unknown} error
   */
  failed(error) {
    this.#say(error instanceof Error ? error.message : String(error));
  }

  /** @param {string} text */
  #say(text) {
    this.message.textContent = text;
  }

  /** @param {Item} item */
  async #describe(item) {
    const { result, title } = item;
    const said = result ? `${result.decision}, p-value ${result.p_value.toFixed(3)}` : item.state;
    this.stage.setAttribute("aria-label", `Radiograph ${title}: ${said}`);
    this.review?.open(item);
    const parts = await describe(item);
    if (this.item === item) {
      this.said.replaceChildren(...parts);
    }
  }

  /**
   * @param {Item} item
   * @returns {Promise<Picture>}
   */
  async #picture(item) {
    let picture = this.#pictures.get(item.id);
    if (picture === undefined) {
      const file = await item.file();
      const answer = await ask(`v1/radiograph${await modelQuery(item)}`, upload(file));
      picture = readPicture(await answer.arrayBuffer());
    }
    // The last one opened stays longest.
    this.#pictures.delete(item.id);
    this.#pictures.set(item.id, picture);
    for (const id of [...this.#pictures.keys()].slice(0, -KEPT)) {
      this.#pictures.delete(id);
    }
    return picture;
  }
}

/**
 * The model whose lung fields are asked for: the one that gave the result, while it is served.
 *
 * @param {Item} item
 * @returns {Promise<string>}
 */
async function modelQuery({ result }) {
  const served = await servedModels();
  const known = served.some(({ name }) => name === result?.model.name);
  return known ? `?model=${encodeURIComponent(result.model.name)}` : "";
}
