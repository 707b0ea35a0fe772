/** How the page creates its elements. */

/** Create a text of SVG. */
export function text(content, x, y, anchor) {
  const label = svg("text", { x, y, "text-anchor": anchor });
  label.textContent = content;
  return label;
}

/** Create an element of SVG with attributes. */
export function svg(name, attributes) {
  return set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
}

/** Create an HTML element with attributes and children. */
export function element(name, attributes, ...children) {
  const created = set(document.createElement(name), attributes);
  created.append(...children);
  return created;
}

/** Set attributes of an element; return it. */
export function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) target.setAttribute(name, value);
  return target;
}
