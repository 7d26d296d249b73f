// Say in the footer what this page cost, from its Server-Timing header.
const page = performance.getEntriesByType("navigation")[0];
const told = Object.fromEntries((page?.serverTiming ?? []).map((one) => [one.name, one]));
const place = document.getElementById("cost");

if (told.sql && place) {
  const queries = Number(told.sql.description);
  const parts = [
    told.cache?.description.split(";")[0],
    `${queries} SQL ${queries === 1 ? "query" : "queries"}`,
    `${told.total.duration} ms on the server`,
  ];
  place.textContent = `This page: ${parts.filter(Boolean).join(" · ")}`;
  place.hidden = false;
}
