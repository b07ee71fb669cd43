/** Keys of the page: one table for what they do and for the help that lists them. */

/**
 * @typedef {object} Key
 * @property {string[]} keys As in `KeyboardEvent.key`; `Shift+` before one asks for that key, too.
 * @property {string} does For the help.
 * @property {() => void} press
 * @property {() => void} [release]
 */

let on = true;

/** @param {boolean} wanted Whether keys do anything. */
export function useKeys(wanted) {
  on = wanted;
}

/**
 * Act on keys, except where text is written or a dialog is open.
 *
 * @param {Key[]} table
 */
export function listen(table) {
  /** @type {Map<string, Key>} */
  const pressed = new Map();
  document.addEventListener("keydown", (event) => {
    const key = find(table, event);
    if (!key || !on || isBusy(event)) {
      return;
    }
    event.preventDefault();
    if (!(key.release && event.repeat)) {
      pressed.set(event.code, key);
      key.press();
    }
  });
  document.addEventListener("keydown", ({ key, target }) => {
    if (key === "Escape" && target instanceof HTMLTextAreaElement) {
      target.blur();
    }
  });
  document.addEventListener("keyup", (event) => {
    pressed.get(event.code)?.release?.();
    pressed.delete(event.code);
  });
  window.addEventListener("blur", () => {
    pressed.forEach((key) => key.release?.());
    pressed.clear();
  });
}

/**
 * @param {Key[]} table
 * @param {KeyboardEvent} event
 * @returns {Key | undefined}
 */
function find(table, event) {
  if (event.ctrlKey || event.altKey || event.metaKey) {
    return undefined;
  }
  // What Shift makes of a letter or a sign is a key of its own; of an arrow it is not.
  const long = event.key.length > 1 && event.shiftKey;
  const name = long ? `Shift+${event.key}` : event.key;
  return table.find(({ keys }) => keys.includes(name));
}

/**
 * Whether the key means something to the element that has the focus, or to a dialog.
 *
 * @param {KeyboardEvent} event
 */
function isBusy(event) {
  const target = /** @type {Element} */ (event.target);
  const letter = event.key.length === 1 && event.key !== " ";
  return Boolean(
    document.querySelector("dialog[open]") ||
      target.closest("textarea, select, input:not([type=checkbox], [type=range], [type=file])") ||
      // Space presses a button, arrows move a slider.
      (!letter && target.closest("button, a, input")),
  );
}
