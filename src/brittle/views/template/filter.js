// Above a table in a block of class "filtered": a list of each named column's values, and a field for words of one column.
for (const block of document.querySelectorAll(".filtered")) {
  const table = block.querySelector("table");
  if (!table) continue;
  const heads = [...table.tHead.rows[0].cells].map(head => head.textContent.trim());
  const rows = [...table.tBodies[0].rows], bar = document.createElement("p"), count = document.createElement("output"), tests = [];
  const words = (row, place) => row.cells[place].textContent.trim();
  const show = () => {
    for (const row of rows) row.hidden = !tests.every(passes => passes(row));
    count.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} rows shown`;
  };
  const add = (name, field) => {
    const label = document.createElement("label");
    label.append(`${name} `, field);
    bar.append(label);
    field.addEventListener("input", show);
  };
  for (const name of block.dataset.columns.split("|")) {
    const place = heads.indexOf(name), values = place < 0 ? [] : [...new Set(rows.map(row => words(row, place)))].sort();
    if (values.length < 2) continue;
    const list = document.createElement("select");
    list.add(new Option("all", ""));
    for (const value of values) list.add(new Option(value, value));
    tests.push(row => !list.value || words(row, place) === list.value);
    add(name, list);
  }
  const place = heads.indexOf(block.dataset.words);
  if (place >= 0) {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "any words";
    tests.push(row => field.value.toLowerCase().split(/\s+/).every(word => words(row, place).toLowerCase().includes(word)));
    add(block.dataset.words, field);
  }
  bar.className = "filters";
  bar.append(count);
  block.prepend(bar);
  show();
}
