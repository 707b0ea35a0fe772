/** Have charts fit the paper, which is narrower than the screen for which they were drawn. */
export function fitPrintedCharts() {
  window.addEventListener("beforeprint", () => {
    for (const drawing of drawings()) {
      drawing.setAttribute("viewBox", `0 0 ${drawing.clientWidth} ${drawing.clientHeight}`);
    }
  });
  window.addEventListener("afterprint", () => {
    for (const drawing of drawings()) drawing.removeAttribute("viewBox");
  });
}

function drawings() {
  return document.querySelectorAll(".chart svg");
}
