// Tables that are sorted by a press on the head of a column.

import {attribute, h, keep, ours, write} from './dom.js';

/**
 * {node, set(rows)}.
 * @param columns [{name, kind, text(row), value(row)}]: `kind` is a class; what is sorted by is `value`, a number or a
 *   text, or null where nothing is known, which comes last. The first column names the row.
 * @param key (row) => what a row is known by
 * @param sorted the index of the column that is sorted by at first; its highest value is on top
 */
export function sortable({caption, columns, key, sorted = 1}) {
  let by = sorted;
  let down = true;
  let rows = [];
  const heads = columns.map(({name, kind}, index) => {
    const sign = h('span', {'aria-hidden': 'true'});
    const press = h('button', {type: 'button', class: 'sort', on: {click: () => sort(index)}}, name, sign);
    return {node: h('th', {scope: 'col', class: kind}, press), sign};
  });
  const body = h('tbody');
  const node = h(
    'div', {class: 'sorted'},
    h('table', null, h('caption', null, caption), h('thead', null, h('tr', null, heads.map((each) => each.node))), body),
  );

  function sort(index) {
    down = index === by ? !down : index > 0;
    by = index;
    draw();
  }

  function order(one, other) {
    const [a, b] = [columns[by].value(one), columns[by].value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    const found = typeof a === 'string' ? a.localeCompare(b) : a - b;
    return down ? -found : found;
  }

  function draw() {
    heads.forEach(({node: head, sign}, index) => {
      attribute(head, 'aria-sort', index !== by ? null : down ? 'descending' : 'ascending');
      write(sign, index !== by ? '' : down ? ' ↓' : ' ↑');
    });
    keep(body, rows.toSorted(order), key, () => {
      const name = ours('');
      const cells = columns.slice(1).map(({kind}) => h('td', {class: kind}));
      return {
        node: h('tr', null, h('th', {scope: 'row', class: columns[0].kind}, name), cells),
        update(row) {
          write(name, columns[0].text(row));
          columns.slice(1).forEach(({text}, index) => write(cells[index], text(row)));
        },
      };
    });
  }
  return {
    node,
    set(fresh) {
      rows = fresh;
      draw();
    },
  };
}
