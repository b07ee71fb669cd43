/** A list of items, one of them open; driven by keys as a listbox is. */

import { el } from "./dom.js";

/** @typedef {import("./items.js").Item} Item */

const STATES = { waiting: "waiting", analysing: "analysing", done: "", failed: "failed" };

export class ItemList extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** @type {Item | null} */
  current = null;

  /** @param {string} name For screen readers. */
  constructor(name) {
    super();
    this.element = el("ul", {
      class: "items",
      role: "listbox",
      tabindex: 0,
      "aria-label": name,
      click: (/** @type {MouseEvent} */ event) => this.#clicked(event),
      keydown: (/** @type {KeyboardEvent} */ event) => this.#pressed(event),
    });
  }

  /** @param {Item[]} items */
  add(items) {
    this.items.push(...items);
    this.element.append(...items.map((item) => row(item)));
    if (this.current === null && items.length > 0) {
      this.open(items[0]);
    }
  }

  /** @param {Item[]} items In place of all others. */
  replace(items) {
    this.items = [];
    this.current = null;
    this.element.replaceChildren();
    this.add(items);
  }

  /** @param {Item} item Of the list; its row is drawn anew. */
  update(item) {
    const before = this.element.querySelector(`#${item.id}`);
    if (before) {
      const after = row(item);
      before.replaceWith(after);
      this.#mark(after, item === this.current);
    }
  }

  /** @param {Item} item */
  open(item) {
    if (this.current) {
      this.#mark(this.element.querySelector(`#${this.current.id}`), false);
    }
    this.current = item;
    const element = this.element.querySelector(`#${item.id}`);
    this.#mark(element, true);
    element?.scrollIntoView({ block: "nearest" });
    this.element.setAttribute("aria-activedescendant", item.id);
    this.dispatchEvent(new Event("open"));
  }

  /** @param {number} steps Forward, or back where it is negative; to the end at most. */
  move(steps) {
    if (this.items.length > 0) {
      const index = this.current ? this.items.indexOf(this.current) : -1;
      const next = Math.min(Math.max(index + steps, 0), this.items.length - 1);
      if (next !== index) {
        this.open(this.items[next]);
      }
    }
  }

  /**
   * @param {Element | null} element
   * @param {boolean} open
   */
  #mark(element, open) {
    element?.setAttribute("aria-selected", String(open));
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const element = /** @type {Element} */ (event.target).closest("li");
    const item = this.items.find((each) => each.id === element?.id);
    if (item) {
      this.open(item);
    }
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (steps !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      this.move(steps);
    }
  }
}

/** @param {Item} item */
function row(item) {
  const { id, title, state, result, problem } = item;
  const review = result?.review;
  const classes = ["item", state, result?.decision, review ? "judged" : null];
  return el(
    "li",
    { id, role: "option", class: classes.filter(Boolean).join(" "), "aria-selected": "false" },
    el("span", { class: "title", title }, title),
    el(
      "span",
      { class: "facts" },
      result ? el("span", { class: "decision" }, result.decision) : STATES[state],
      result ? ` p ${result.p_value.toFixed(3)}` : null,
      result?.ood_score > 1 ? " · unlike the training images" : null,
      review ? ` · judged ${review.verdict}` : null,
    ),
    problem ? el("span", { class: "problem" }, problem) : null,
  );
}
