// How the page looks, as its address says. It runs before anything is drawn, so that nothing moves.
{
  const asked = new URL(location).searchParams;
  const view = asked.get("view") === "wall" ? "wall" : "page";
  document.documentElement.dataset.view = asked.has("chart") ? "chart" : view;
}
