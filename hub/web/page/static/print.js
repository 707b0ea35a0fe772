/**
 * Have charts fit the paper, which is narrower than the screen for which they were drawn, and the
 * head of the page say when that was: paper is not live.
 */
export function fitPrintedPage() {
  const printed = document.createElement("p");
  printed.id = "printed";
  window.addEventListener("beforeprint", () => {
    printed.textContent = new Date().toLocaleString([], { dateStyle: "long", timeStyle: "long" });
    document.querySelector("header").append(printed);
    for (const drawing of drawings()) {
      drawing.setAttribute("viewBox", `0 0 ${drawing.clientWidth} ${drawing.clientHeight}`);
    }
  });
  window.addEventListener("afterprint", () => {
    printed.remove();
    for (const drawing of drawings()) drawing.removeAttribute("viewBox");
  });
}

function drawings() {
  return document.querySelectorAll(".chart svg");
}
