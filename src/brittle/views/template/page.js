// Column names of sortable tables become buttons; on a narrow screen, where they are hidden, a list does the same.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, place) => {
    const cell = row.cells[place], words = cell.textContent.trim();
    if (cell.classList.contains("none") || words === "–") return null;
    const number = cell.dataset.order === undefined ? parseFloat(words) : Number(cell.dataset.order);
    return Number.isNaN(number) ? words : number;
  };
  const sort = (place, descending) => {
    const rows = [...body.rows].map(row => [key(row, place), row]);
    rows.sort(([one], [two]) => {
      if (one === null || two === null) return (one === null) - (two === null);  // what is missing stays last
      if (typeof one !== typeof two) return typeof one === "number" ? -1 : 1;
      const order = typeof one === "number" ? (one > two) - (one < two) : one.localeCompare(two);
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
    heads.forEach((head, other) => {
      if (other === place) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  const list = document.createElement("select"), label = document.createElement("label");
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(place, head.getAttribute("aria-sort") === "ascending"));
    head.append(button);
    list.add(new Option(button.textContent, place));
  });
  list.addEventListener("change", () => sort(Number(list.value), false));
  label.className = "sorter";
  label.append("Sort by ", list);
  table.parentElement.before(label);
}

// Sections are folded but for the ten lines; one that a link leads to opens, and on paper all are open.
const reveal = () => {
  const section = location.hash && document.getElementById(location.hash.slice(1));
  if (section && section.querySelector("details")) section.querySelector("details").open = true;
};
addEventListener("hashchange", reveal);
reveal();
for (const link of document.querySelectorAll("nav a")) link.addEventListener("click", () => setTimeout(reveal));
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => { for (const each of folded) each.open = false; });
