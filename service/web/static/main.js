/** Puts the page together. */

import { Analyser } from "./analyser.js";
import { onSignIn } from "./api.js";
import { colourBar } from "./colour_bar.js";
import { Display } from "./display.js";
import { byId, el } from "./dom.js";
import { onDrop } from "./dropping.js";
import { helpDialog } from "./help.js";
import { waitingItem } from "./items.js";
import { listen } from "./keyboard.js";
import { ItemList } from "./list.js";
import { modelChoice } from "./models.js";
import { modelsPage } from "./models_page.js";
import { offer } from "./places.js";
import { Reading } from "./reading.js";
import { saveTool } from "./save.js";
import { account, signInDialog } from "./sign_in.js";
import { Stage } from "./stage.js";
import { displayTools } from "./tools.js";

onSignIn(signInDialog());

const display = new Display();
const stage = /** @type {HTMLCanvasElement} */ (byId("stage"));
const reading = new Reading(display, {
  surface: byId("surface"),
  stage,
  message: byId("message"),
  result: byId("result"),
});
const files = new ItemList("Files");

new Stage(stage, display);
colourBar(byId("colour-bar"), display);
byId("tools").append(
  ...displayTools(display),
  saveTool(display, () => reading.item, (error) => reading.failed(error)),
);

const progress = el("progress", { max: 1, value: 0, hidden: true, "aria-label": "Analysed files" });
const count = el("p", { class: "count", role: "status" });
const model = modelChoice();
const analyser = new Analyser(() => model.value, (item) => {
  files.update(item);
  reading.refresh(item);
  const ended = files.items.filter(({ state }) => state === "done" || state === "failed");
  const failed = ended.filter(({ state }) => state === "failed").length;
  progress.max = files.items.length;
  progress.value = ended.length;
  progress.hidden = ended.length === files.items.length;
  count.textContent =
    `${ended.length} of ${files.items.length} analysed` + (failed ? `, ${failed} failed` : "");
});

/** @param {File[]} dropped */
function take(dropped) {
  const items = dropped.map((file) => waitingItem(file.name, async () => file));
  files.add(items);
  analyser.add(items);
}

const chooser = el("input", {
  type: "file",
  multiple: true,
  class: "chooser",
  "aria-label": "Choose radiographs",
  change: () => {
    take([...(chooser.files ?? [])]);
    chooser.value = "";
  },
});
byId("browser").append(
  el("label", { class: "drop" }, chooser, "Drop PNG, JPEG or DICOM files, or choose them"),
  model,
  progress,
  count,
  files.element,
);
files.addEventListener("open", () => files.current && reading.open(files.current));
onDrop(take);

const PAN = 40;
const SHARE = 0.05;
const keys = [
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
  { keys: ["+", "="], does: "Zoom in", press: () => display.zoom(1.25) },
  { keys: ["-"], does: "Zoom out", press: () => display.zoom(1 / 1.25) },
  { keys: ["ArrowLeft"], does: "Move left", press: () => display.pan(PAN, 0) },
  { keys: ["ArrowRight"], does: "Move right", press: () => display.pan(-PAN, 0) },
  { keys: ["ArrowUp"], does: "Move up", press: () => display.pan(0, PAN) },
  { keys: ["ArrowDown"], does: "Move down", press: () => display.pan(0, -PAN) },
  { keys: ["d"], does: "Drag changes the window, or moves", press: () => display.toggleDrag() },
  { keys: ["w"], does: "First window", press: () => display.resetWindow() },
  { keys: ["Shift+ArrowUp"], does: "Brighter", press: () => display.shiftWindow(0, -SHARE) },
  { keys: ["Shift+ArrowDown"], does: "Darker", press: () => display.shiftWindow(0, SHARE) },
  { keys: ["Shift+ArrowRight"], does: "Wider window", press: () => display.shiftWindow(SHARE, 0) },
  { keys: ["Shift+ArrowLeft"], does: "Narrower window", press: () => display.shiftWindow(-SHARE, 0) },
  { keys: ["j", "PageDown"], does: "Next radiograph", press: () => files.move(1) },
  { keys: ["k", "PageUp"], does: "Previous radiograph", press: () => files.move(-1) },
  { keys: ["?"], does: "This help", press: () => help.showModal() },
];
const help = helpDialog(keys);
document.body.append(help);
listen(keys);
byId("account").append(
  el("button", { type: "button", title: "Keys and pointer (?)", click: () => help.showModal() }, "Keys"),
  account(),
);

offer([
  { name: "reading", content: null },
  { name: "models", content: modelsPage },
]);
