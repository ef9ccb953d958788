// Elements of the document. Text gets in as text alone: nothing here reads HTML.

const SVG = 'http://www.w3.org/2000/svg';

/** An element: `h('button', {class: 'small', on: {click: f}}, 'Ask')`. Attributes that are null or false are left out. */
export function h(tag, attributes, ...kids) {
  return fill(document.createElement(tag), attributes, kids);
}

/** The same of SVG. */
export function s(tag, attributes, ...kids) {
  return fill(document.createElementNS(SVG, tag), attributes, kids);
}

function fill(element, attributes, kids) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === 'on') {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === 'style') {
      for (const [property, each] of Object.entries(value)) element.style.setProperty(property, each);
    } else {
      attribute(element, name, value);
    }
  }
  append(element, kids);
  return element;
}

function append(element, kids) {
  for (const kid of kids.flat(Infinity)) {
    if (kid !== null && kid !== undefined && kid !== false) element.append(kid);
  }
}

/** Sets an attribute, if it differs; null and false take it away. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? '' : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Writes *value* as the text of *element*, if it differs. */
export function write(element, value) {
  const text = value === null || value === undefined ? '' : String(value);
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides *element*. */
export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/** Gives *element* these kids in place of those it has. */
export function replace(element, ...kids) {
  element.replaceChildren();
  append(element, kids);
}

/**
 * Keeps one kid of *parent* for each of *items*, in their order. Nodes stay as long as their keys do, so that focus,
 * selection and what is unfolded stay.
 * @param make (item) => {node, update(item)}
 */
export function keep(parent, items, key, make) {
  const kept = (parent.kept ??= new Map());
  const wanted = new Set();
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (wanted.has(name)) continue;
    wanted.add(name);
    let part = kept.get(name);
    if (!part) kept.set(name, (part = make(item)));
    part.update(item);
    if (part.node === before) before = before.nextElementSibling;
    else parent.insertBefore(part.node, before);
  }
  for (const [name, part] of kept) {
    if (!wanted.has(name)) {
      part.node.remove();
      kept.delete(name);
    }
  }
}

/** What others wrote, apart from the direction of the text around it. */
export function foreign(text) {
  return h('bdi', null, text);
}

/** A text of ours that others' names may begin, which shall not turn it round. */
export function ours(text) {
  return h('bdi', {dir: 'ltr'}, text);
}

/** A button. While it rests a press does nothing. */
export function button(label, click, attributes) {
  const node = h('button', {type: 'button', ...attributes, on: {click: (event) => isResting(node) || click(event)}}, label);
  return node;
}

/** Has *element* rest, or no longer. It keeps the focus, which a button that is disabled loses. */
export function rest(element, rests) {
  attribute(element, 'aria-disabled', rests ? 'true' : null);
}

/** Whether *element* rests. */
export const isResting = (element) => element.hasAttribute('aria-disabled');

/** Puts *text* on the clipboard; where a page may not, it selects *element*. Tells whether it is copied. */
export async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (element) getSelection().selectAllChildren(element);
    return false;
  }
}

/** A button that copies what *text* gives, and says so. */
export function copyButton(label, text, element) {
  const node = button(label, async () => {
    write(node, (await copy(text(), element?.())) ? 'Copied' : 'Selected: press Ctrl+C');
    setTimeout(() => write(node, label), 2000);
  });
  return node;
}
