/** Files of the reader's own: chosen or dropped, analysed one by one, with progress and errors. */

import { Analyser } from "./analyser.js";
import { el } from "./dom.js";
import { onDrop } from "./dropping.js";
import { waitingItem } from "./items.js";
import { ItemList } from "./list.js";
import { modelChoice } from "./models.js";

/** @typedef {import("./items.js").Item} Item */

export class Files {
  list = new ItemList("Files");
  #model = modelChoice();
  #progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Analysed files" });
  #count = el("p", { class: "count", role: "status" });

  /**
   * @param {(item: Item) => void} changed Called when more is known of an item.
   * @param {() => void} taken Called when files have come in.
   */
  constructor(changed, taken) {
    this.#taken = taken;
    this.#analyser = new Analyser(
      () => this.#model.value,
      (item) => {
        this.list.update(item);
        this.#showProgress();
        changed(item);
      },
    );
    const chooser = el("input", {
      type: "file",
      multiple: true,
      class: "chooser",
      "aria-label": "Choose radiographs",
      change: () => {
        this.take([...(chooser.files ?? [])]);
        chooser.value = "";
      },
    });
    onDrop((dropped) => this.take(dropped));
    this.element = el(
      "div",
      { class: "files" },
      el("label", { class: "drop" }, chooser, "Drop PNG, JPEG or DICOM files, or choose them"),
      this.#model,
      this.#progress,
      this.#count,
      this.list.element,
    );
  }

  /** @type {() => void} */
  #taken;
  /** @type {Analyser} */
  #analyser;

  /** @param {File[]} files */
  take(files) {
    const items = files.map((file) => waitingItem(file.name, async () => file));
    this.#taken();
    this.list.add(items);
    this.#analyser.add(items);
    this.#showProgress();
  }

  #showProgress() {
    const { items } = this.list;
    const ended = items.filter(({ state }) => state === "done" || state === "failed");
    const failed = ended.filter(({ state }) => state === "failed").length;
    this.#progress.max = items.length;
    this.#progress.value = ended.length;
    this.#progress.hidden = ended.length === items.length;
    this.#count.textContent =
      `${ended.length} of ${items.length} analysed` + (failed ? `, ${failed} failed` : "");
  }
}
