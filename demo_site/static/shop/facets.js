// On a narrow screen the filters start folded, so that the stones are in sight.
if (matchMedia("(max-width: 48rem)").matches) {
  for (const facet of document.querySelectorAll(".facets details")) facet.open = false;
}
