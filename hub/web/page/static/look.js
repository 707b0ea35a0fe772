// How the page looks, as its address and the browser say. It runs before anything is drawn, so that
// nothing moves or flashes.
{
  const { dataset } = document.documentElement;
  const asked = new URL(location).searchParams;
  const view = asked.get("view") === "wall" ? "wall" : "page";
  dataset.view = asked.has("chart") ? "chart" : view;
  dataset.theme = "auto";
  try {
    const kept = localStorage.getItem("theme");
    if (["light", "dark"].includes(kept)) dataset.theme = kept;
  } catch {
    // It may keep nothing.
  }
}
