/** The help: what every key does, and how to switch the keys off. */

import { el } from "./dom.js";
import { useKeys } from "./keyboard.js";

/**
 * @param {import("./keyboard.js").Key[]} table
 * @returns {HTMLDialogElement} Closed.
 */
export function helpDialog(table) {
  const names = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  const named = (/** @type {string} */ key) =>
    key.replace(/[^+]+$/, (last) => names[/** @type {keyof typeof names} */ (last)] ?? last);
  const rows = table.map(({ keys, does }) =>
    el(
      "tr",
      {},
      el("td", {}, ...keys.flatMap((key) => [el("kbd", {}, named(key)), " "])),
      el("td", {}, does),
    ),
  );
  /** @type {HTMLDialogElement} */
  const dialog = el(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    el("h2", { id: "help-title" }, "Keys and pointer"),
    el(
      "p",
      {},
      "Drag to change the window: right is wider, up is brighter. Drag with Shift or the right " +
        "button to move, turn the wheel or pinch to zoom, double-click to fit.",
    ),
    el("table", {}, el("tbody", {}, ...rows)),
    el(
      "label",
      { class: "check" },
      el("input", {
        type: "checkbox",
        checked: true,
        change: (/** @type {Event} */ event) =>
          useKeys(/** @type {HTMLInputElement} */ (event.target).checked),
      }),
      "Single keys act",
    ),
    el("button", { type: "button", click: () => dialog.close() }, "Close"),
  );
  return dialog;
}
