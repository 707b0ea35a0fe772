/**
 * A chart as a picture of its own: its heading, its readings and its drawing, as they look now.
 *
 * It is drawn anew on a canvas from what the browser has laid out, word by word and shape by shape,
 * since the page's policy lets it load no picture that is not a file of the hub's.
 */
import { element } from "./elements.js";

/** Pixels of the picture for each of the page's, at least. */
const LEAST_RATIO = 2;

/** Height of the line under the chart that says of when it is. */
const CAPTION = 20;

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Create the button that saves a chart; `tell` returns the name of the file, and of the machine. */
export function pngButton(figure, tell) {
  const heading = figure.querySelector("h2").firstChild.textContent;
  const button = element("button", { type: "button", class: "png", "aria-label": `${heading} as PNG` }, "PNG");
  button.addEventListener("click", () => {
    const { file, machine } = tell();
    save(pictureOf(figure, machine), file);
  });
  return button;
}

function save(canvas, download) {
  canvas.toBlob((blob) => {
    const href = URL.createObjectURL(blob);
    element("a", { href, download }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000); // by then it is saved
  });
}

function pictureOf(figure, machine) {
  const { width, height, x, y } = figure.getBoundingClientRect();
  const ratio = Math.max(LEAST_RATIO, devicePixelRatio);
  const canvas = element("canvas", { width: Math.ceil(width * ratio), height: Math.ceil((height + CAPTION) * ratio) });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(figure).backgroundColor;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.scale(ratio, ratio);
  drawShapes(pen, figure.querySelector("svg"), { x, y });
  style(pen, getComputedStyle(figure.querySelector("small")));
  pen.fillText(`${machine} · ${WHEN.format(Date.now())}`, 12, height + CAPTION / 2);
  pen.translate(-x, -y); // so that places are those of the page
  for (const entry of figure.querySelectorAll(".entry")) drawSwatch(pen, entry);
  for (const sign of figure.querySelectorAll("dd")) drawSign(pen, sign);
  drawWords(pen, figure);
  return canvas;
}

/** Draw the shapes of a drawing in SVG, each under its own transformation. */
function drawShapes(pen, drawing, from) {
  const { x, y } = drawing.getBoundingClientRect();
  const { filter } = getComputedStyle(drawing);
  for (const shape of drawing.querySelectorAll("path, line, text")) {
    const look = getComputedStyle(shape);
    if (look.display === "none" || look.visibility === "hidden") continue;
    const { a, b, c, d, e, f } = shape.getCTM();
    pen.save();
    pen.filter = filter;
    pen.translate(x - from.x, y - from.y);
    pen.transform(a, b, c, d, e, f);
    pen.globalAlpha = look.opacity;
    if (shape.nodeName === "text") drawLabel(pen, shape, look);
    else drawOutline(pen, shape.nodeName === "path" ? new Path2D(shape.getAttribute("d")) : lineOf(shape), look);
    pen.restore();
  }
}

function lineOf(line) {
  const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map((name) => line.getAttribute(name));
  return new Path2D(`M${x1},${y1}L${x2},${y2}`);
}

function drawOutline(pen, path, { fill, stroke, strokeWidth, strokeDasharray, strokeLinejoin }) {
  if (fill !== "none") {
    pen.fillStyle = fill;
    pen.fill(path);
  }
  if (stroke === "none") return;
  pen.strokeStyle = stroke;
  pen.lineWidth = parseFloat(strokeWidth);
  pen.lineJoin = strokeLinejoin;
  pen.setLineDash(strokeDasharray === "none" ? [] : strokeDasharray.split(",").map(parseFloat));
  pen.stroke(path);
}

function drawLabel(pen, label, look) {
  style(pen, look, look.fill);
  pen.textAlign = { start: "left", middle: "center", end: "right" }[look.textAnchor];
  pen.fillText(label.textContent, label.getAttribute("x"), label.getAttribute("y"));
}

/** Draw the sample of a line before its name. */
function drawSwatch(pen, entry) {
  const look = getComputedStyle(entry, "::before");
  const [width, height, line] = [look.width, look.height, look.borderTopWidth].map(parseFloat);
  const { x, y, height: room } = entry.getBoundingClientRect();
  const top = y + (room - height - line) / 2;
  pen.fillStyle = look.backgroundColor;
  pen.fillRect(x, top + line, width, height);
  pen.setLineDash(look.borderTopStyle === "dotted" ? [line, line] : []);
  pen.strokeStyle = look.borderTopColor;
  pen.lineWidth = line;
  pen.stroke(new Path2D(`M${x},${top + line / 2}h${width}`));
}

/** Draw the sign before a reading that is high. */
function drawSign(pen, reading) {
  const look = getComputedStyle(reading, "::before");
  const sign = /^"(.+)"$/.exec(look.content);
  style(pen, look);
  if (sign) write(pen, sign[1], reading.getBoundingClientRect());
}

/** Draw each word of the page's text in a chart where the browser has put it. */
function drawWords(pen, figure) {
  const texts = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const parent = node.parentElement;
    if (!parent.closest("h2, dt, dd, p") || parent.closest(".visually-hidden, [hidden]")) continue;
    const look = getComputedStyle(parent);
    pen.save();
    clipTo(pen, parent.closest("h2, dt, dd, p"), look.backgroundColor);
    style(pen, look);
    for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      write(pen, word, range.getBoundingClientRect());
    }
    pen.restore();
  }
  for (const list of figure.querySelectorAll("select")) drawChoice(pen, list);
}

/** Draw what is chosen in a list. */
function drawChoice(pen, list) {
  const look = getComputedStyle(list);
  const { x, y, height } = list.getBoundingClientRect();
  style(pen, look);
  write(pen, list.selectedOptions[0].text, { x: x + 1 + parseFloat(look.paddingLeft), y, height });
}

/** Write a text from the left of a box, in the middle of its height. */
function write(pen, text, { x, y, height }) {
  const { fontBoundingBoxAscent: above, fontBoundingBoxDescent: below } = pen.measureText(text);
  pen.fillText(text, x, y + (height + above - below) / 2);
}

/** Keep to the box of an element, and fill it. */
function clipTo(pen, box, colour) {
  const { x, y, width, height } = box.getBoundingClientRect();
  pen.beginPath();
  pen.rect(x, y, width, height);
  pen.clip();
  pen.fillStyle = colour;
  pen.fillRect(x, y, width, height);
}

function style(pen, { fontWeight, fontSize, fontFamily, color }, colour = color) {
  pen.font = `${fontWeight} ${fontSize} ${fontFamily}`;
  pen.fillStyle = colour;
}
