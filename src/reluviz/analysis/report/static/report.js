"use strict";

// A column that is sorted again turns round; what is unknown stays last either way.
function sort(table, column, upwards) {
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
  const compare = (a, b) => {
    if (!numeric) return key(a).localeCompare(key(b), undefined, { numeric: true });
    const [x, y] = [Number(key(a)), Number(key(b))];
    return x === y ? 0 : x < y ? -1 : 1;
  };
  const unknown = (row) => numeric && Number.isNaN(Number(key(row)));
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => unknown(a) - unknown(b) || (unknown(a) ? 0 : (upwards ? 1 : -1) * compare(a, b)));
  table.tBodies[0].append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const upwards = head.getAttribute("aria-sort") !== "ascending";
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      sort(table, column, upwards);
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
      // without the right to write there, a click on the text selects it
      getSelection().selectAllChildren(command);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  command.after(button);
}

// On paper nothing can be unfolded; what was folded is folded again afterwards.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details.print:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of folded) each.open = false;
});
