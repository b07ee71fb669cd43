/** The lists of what can be opened, of which one is seen at a time. */

import { el } from "./dom.js";

/** @typedef {import("./list.js").ItemList} ItemList */

/** @typedef {{name: string, list: ItemList, element: HTMLElement, enter?: () => void}} Tab */

export class Browser {
  /** @type {Tab[]} */
  #tabs = [];
  /** @type {Tab | null} */
  #shown = null;
  #bar = el("div", { class: "tabs", role: "group", "aria-label": "Lists", hidden: true });

  /**
   * @param {HTMLElement} element
   * @param {(item: import("./items.js").Item) => void} open Called with the item to be opened.
   */
  constructor(element, open) {
    this.#open = open;
    this.#element = element;
    element.append(this.#bar);
  }

  /** @type {(item: import("./items.js").Item) => void} */
  #open;
  /** @type {HTMLElement} */
  #element;

  /** The list that is seen. */
  get list() {
    return this.#shown?.list ?? null;
  }

  /** @param {Tab} tab */
  add(tab) {
    this.#tabs.push(tab);
    tab.element.hidden = true;
    this.#element.append(tab.element);
    tab.list.addEventListener("open", () => {
      if (tab.list.current && this.#shown === tab) {
        this.#open(tab.list.current);
      }
    });
    const button = el("button", { type: "button", click: () => this.show(tab.name) }, tab.name);
    this.#bar.append(button);
    this.#bar.hidden = this.#tabs.length < 2;
    if (this.#shown === null) {
      this.show(tab.name);
    }
  }

  /** @param {string} name */
  show(name) {
    const tab = this.#tabs.find((each) => each.name === name);
    if (!tab || tab === this.#shown) {
      return;
    }
    this.#shown = tab;
    this.#tabs.forEach((each, index) => {
      each.element.hidden = each !== tab;
      this.#bar.children[index].setAttribute("aria-pressed", String(each === tab));
    });
    tab.enter?.();
    if (tab.list.current) {
      this.#open(tab.list.current);
    }
  }
}
