// A table of thousands of rows, of which those that can be seen are in the document: rows have one height, stand in for
// one another, and two spacers take the place of the rest.

import {attribute, h, write} from './dom.js';

const SPARE = 4;

/**
 * {node, set(rows, total), toTop(), focus(index), hasFocus(), sorted(by, up)}.
 * @param columns [{name, kind, sort}] of the head; with `sort` it is a button
 * @param sort called with the `sort` of a column whose head is pressed
 * @param make () => {node: a tr, update(row, index)}
 * @param end called when the last rows come into sight
 * @param scrolled called with whether the newest row is in sight
 */
export function windowed({caption, columns, make, end, scrolled, height, sort}) {
  const above = spacer();
  const below = spacer();
  const body = h('tbody', {role: 'rowgroup'}, above, below);
  const heads = columns.map(({name, kind, sort: by}) => {
    const sign = h('span', {'aria-hidden': 'true'});
    const inner = by ? h('button', {type: 'button', class: 'sort', on: {click: () => sort(by)}}, name, sign) : name;
    return {by, sign, node: h('th', {scope: 'col', role: 'columnheader', class: kind}, inner)};
  });
  const table = h(
    'table', {role: 'table', class: 'windowed'},
    h('caption', {class: 'unseen'}, caption),
    h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, heads.map((each) => each.node))),
    body,
  );
  const node = h('div', {class: 'scroller', role: 'region', 'aria-label': caption, tabindex: '0', on: {scroll: paint}}, table);
  const pool = [];
  let rows = [];
  let from = 0;

  function paint() {
    const tall = height();
    const seen = Math.ceil(node.clientHeight / tall) + 2 * SPARE;
    from = Math.max(0, Math.min(rows.length - seen, Math.floor(node.scrollTop / tall) - SPARE));
    const many = Math.min(seen, rows.length - from);
    while (pool.length < many) {
      const part = make();
      pool.push(part);
      body.insertBefore(part.node, below);
    }
    pool.forEach((part, index) => {
      const row = index < many ? rows[from + index] : null;
      if (part.node.hidden !== (row === null)) part.node.hidden = row === null;
      if (row) {
        attribute(part.node, 'aria-rowindex', from + index + 2);
        part.update(row, from + index);
      }
    });
    room(above, from * tall);
    room(below, Math.max(0, rows.length - from - many) * tall);
    scrolled(node.scrollTop < tall);
    if (rows.length && node.scrollTop + node.clientHeight > rows.length * tall - 10 * tall) end();
  }
  new ResizeObserver(paint).observe(node);

  return {
    node,
    set(fresh, total) {
      rows = fresh;
      attribute(table, 'aria-rowcount', total + 1);
      paint();
    },
    hasFocus: () => body.contains(document.activeElement),
    /** Tells by what, and whether upwards, the rows are sorted. */
    sorted(by, up) {
      for (const each of heads) {
        attribute(each.node, 'aria-sort', each.by !== by ? null : up ? 'ascending' : 'descending');
        write(each.sign, each.by !== by ? '' : up ? ' ↑' : ' ↓');
      }
    },
    toTop() {
      node.scrollTop = 0;
    },
    focus(index) {
      const tall = height();
      if (index * tall < node.scrollTop) node.scrollTop = index * tall;
      else if ((index + 2) * tall > node.scrollTop + node.clientHeight) node.scrollTop = (index + 2) * tall - node.clientHeight;
      paint();
      pool[index - from]?.node.querySelector('a')?.focus({preventScroll: true});
    },
  };
}

function spacer() {
  return h('tr', {'aria-hidden': 'true', class: 'spacer'}, h('td'));
}

function room(element, height) {
  const value = `${height}px`;
  if (element.style.height !== value) element.style.height = value;
  if (element.hidden !== (height === 0)) element.hidden = height === 0;
}
