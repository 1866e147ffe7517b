// Tables inside class "sorts": a click (or Enter) on a column's head sorts by it, a second one turns the order round.
// A cell sorts by its attribute data-value if it has one, else by its text.
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const sort = (head, column) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = [...table.tBodies[0].rows].sort((a, b) =>
      value(a).localeCompare(value(b), undefined, { numeric: true })
    );
    table.tBodies[0].append(...(down ? rows.reverse() : rows));
  };
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(head, column));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(head, column); });
  });
}
document.querySelectorAll(".sorts table").forEach(makeSortable);
