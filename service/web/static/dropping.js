/** Files from outside: dropped onto the page, or chosen. */

/**
 * Take files, and the files in folders, wherever on the page they are dropped.
 *
 * @param {(files: File[]) => void} take
 */
export function onDrop(take) {
  const { body } = document;
  body.addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.add("dropping");
  });
  body.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) {
      body.classList.remove("dropping");
    }
  });
  body.addEventListener("drop", async (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    // The list is emptied when this handler pauses.
    const dropped = [...(event.dataTransfer?.items ?? [])].map(
      (item) => item.webkitGetAsEntry() ?? item.getAsFile(),
    );
    const files = await Promise.all(dropped.map((each) => (each ? filesOf(each) : [])));
    take(files.flat());
  });
}

/**
 * @param {FileSystemEntry | File} dropped
 * @returns {Promise<File[]>} In the order of their names.
 */
async function filesOf(dropped) {
  if (dropped instanceof File) {
    return [dropped];
  }
  if (dropped.isFile) {
    const entry = /** @type {FileSystemFileEntry} */ (dropped);
    return [await new Promise((done, fail) => entry.file(done, fail))];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (dropped).createReader();
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) {
      break;
    }
    entries.push(...some);
  }
  entries.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  return (await Promise.all(entries.map(filesOf))).flat();
}
