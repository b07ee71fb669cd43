/** What every key of the page does. */

const PAN = 40;
const SHARE = 0.05;
const ZOOM = 1.25;

/**
 * @param {object} parts
 * @param {import("./display.js").Display} parts.display
 * @param {(steps: number) => void} parts.move To the next radiograph, or back.
 * @param {() => void} parts.help
 * @returns {import("./keyboard.js").Key[]}
 */
export function readingKeys({ display, move, help }) {
  return [
    {
      keys: [" "],
      does: "Hold to see the radiograph without its map",
      press: () => display.set({ hidden: true }),
      release: () => display.set({ hidden: false }),
    },
    { keys: ["s"], does: "Side by side", press: () => display.toggle("sideBySide") },
    { keys: ["o"], does: "Outlines", press: () => display.toggle("outlines") },
    { keys: ["["], does: "Fainter map", press: () => display.shiftOpacity(-1) },
    { keys: ["]"], does: "Stronger map", press: () => display.shiftOpacity(1) },
    { keys: ["i"], does: "Invert", press: () => display.toggle("invert") },
    { keys: ["l"], does: "Exchange left and right", press: () => display.toggle("flip") },
    { keys: ["f", "0"], does: "Fit", press: () => display.fit() },
    { keys: ["1"], does: "One pixel to a pixel", press: () => display.actualSize() },
    { keys: ["+", "="], does: "Zoom in", press: () => display.zoom(ZOOM) },
    { keys: ["-"], does: "Zoom out", press: () => display.zoom(1 / ZOOM) },
    { keys: ["ArrowLeft"], does: "Move left", press: () => display.pan(PAN, 0) },
    { keys: ["ArrowRight"], does: "Move right", press: () => display.pan(-PAN, 0) },
    { keys: ["ArrowUp"], does: "Move up", press: () => display.pan(0, PAN) },
    { keys: ["ArrowDown"], does: "Move down", press: () => display.pan(0, -PAN) },
    { keys: ["d"], does: "Drag changes the window, or moves", press: () => display.toggleDrag() },
    { keys: ["w"], does: "First window", press: () => display.resetWindow() },
    { keys: ["Shift+ArrowUp"], does: "Brighter", press: () => display.shiftWindow(0, -SHARE) },
    { keys: ["Shift+ArrowDown"], does: "Darker", press: () => display.shiftWindow(0, SHARE) },
    {
      keys: ["Shift+ArrowRight"],
      does: "Wider window",
      press: () => display.shiftWindow(SHARE, 0),
    },
    {
      keys: ["Shift+ArrowLeft"],
      does: "Narrower window",
      press: () => display.shiftWindow(-SHARE, 0),
    },
    { keys: ["j", "PageDown"], does: "Next radiograph", press: () => move(1) },
    { keys: ["k", "PageUp"], does: "Previous radiograph", press: () => move(-1) },
    { keys: ["?"], does: "This help", press: help },
  ];
}

/**
 * Keys of those who judge.
 *
 * @param {import("./review.js").ReviewForm} form
 * @returns {import("./keyboard.js").Key[]}
 */
export function reviewKeys(form) {
  return [
    { keys: ["a"], does: "Judge: abnormal", press: () => form.judge("abnormal") },
    { keys: ["n"], does: "Judge: normal", press: () => form.judge("normal") },
    { keys: ["u"], does: "Judge: unsure", press: () => form.judge("unsure") },
    { keys: ["e"], does: "Write a note; Esc leaves it", press: () => form.note.focus() },
  ];
}
