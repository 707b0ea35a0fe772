// How the page looks, as its address says. It runs before anything is drawn, so that nothing moves.
document.documentElement.dataset.view = new URL(location).searchParams.get("view") === "wall" ? "wall" : "page";
