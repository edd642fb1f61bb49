// A figure answers a pointer once it is seen. Where that fails, and on paper, its picture stands.
const unpack = async () => {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent.trim()), letter => letter.charCodeAt(0));
  const library = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  new Function(library)();  // in a function: its own names stay out of the page
};
let unpacked;
const enliven = async figure => {
  const place = figure.querySelector(".interactive"), words = figure.querySelector(".specification").textContent;
  try {
    unpacked ??= unpack();
    await unpacked;
    await vegaEmbed(place, JSON.parse(words), { mode: "vega-lite", renderer: "svg", actions: false });
    figure.classList.add("live");
    if (words.includes('"bind":"legend"')) figure.classList.add("toggles");
    // Vega would take a click on any mark for one more on the name that was clicked last.
    place.addEventListener("click", event => { if (!event.target.closest(".role-legend")) event.stopPropagation(); }, true);
  } catch (problem) {
    place.replaceChildren();
    console.warn("this figure stays a picture:", problem);
  }
};
const seen = new IntersectionObserver(entries => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    enliven(target);
  }
}, { rootMargin: "300px" });
for (const words of document.querySelectorAll(".specification")) seen.observe(words.closest("figure"));
