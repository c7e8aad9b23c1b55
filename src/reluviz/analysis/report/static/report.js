"use strict";

// Sort the rows by a column; unknown numbers (NaN) stay last in both directions.
function sort(table, column, ascending) {
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
  const compare = (a, b) => {
    if (!numeric) return key(a).localeCompare(key(b), undefined, { numeric: true });
    const [x, y] = [Number(key(a)), Number(key(b))];
    return x === y ? 0 : x < y ? -1 : 1;
  };
  const unknown = (row) => numeric && Number.isNaN(Number(key(row)));
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => unknown(a) - unknown(b) || (unknown(a) ? 0 : (ascending ? 1 : -1) * compare(a, b)));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const ascending = header.getAttribute("aria-sort") !== "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sort(table, column, ascending);
    });
  });
}

for (const command of document.querySelectorAll("code.command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "copied";
    } catch {
      // without permission to write to the clipboard, select the text instead
      getSelection().selectAllChildren(command);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  command.after(button);
}

// Unfold everything for printing, and fold it again afterwards.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.print:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
