// Charts over time as SVG, in pixels: they are drawn again when their width changes, so that text keeps its size. Each is
// also a table, and read point by point with the arrow keys.

import {h, keep, replace, s, show, write} from './dom.js';
import {date, dated, minute} from './format.js';

const HEIGHT = 132;
const LEAST_LEFT = 44;
const DIGIT = 8.5;
const DAY = 24 * 3600;
const BOTTOM = 24;
const TOP = 10;

/**
 * A chart: {node, draw(points)}.
 * @param title what it shows, with its unit
 * @param series [{key, name, tone, kind: 'line' | 'column' | 'band', to}]: what is drawn of a point. Columns stand on one
 *   another, a band reaches from `key` to `to`.
 * @param label what a value is written as
 * @param none what to say where there are no points
 * @param daily whether each point is a day
 * Points are {at, seconds, few, ...values}; null is a gap.
 */
export function chart({title, series, label, none, daily = () => false}) {
  const drawing = h('div', {class: 'drawing'});
  const said = h('output', {class: 'secondary', 'aria-live': 'polite'});
  const empty = h('p', {class: 'muted'}, none);
  const body = h('tbody');
  const drawn = series.filter((each) => each.kind !== 'band' || each.name);
  const table = h(
    'details', null, h('summary', null, 'As table'),
    h(
      'div', {class: 'scrolls', tabindex: '0', role: 'region', 'aria-label': `${title}, as table`},
      h(
        'table', null, h('caption', {class: 'unseen'}, title),
        h('thead', null, h('tr', null, h('th', {scope: 'col'}, 'Time'), drawn.map((each) => h('th', {scope: 'col'}, each.name)))),
        body,
      ),
    ),
  );
  const legend = h(
    'ul', {class: 'legend secondary'},
    series.length > 1 && drawn.map((each) => h('li', null, h('span', {class: `key ${each.kind}`, 'data-tone': each.tone, 'aria-hidden': 'true'}), each.name)),
  );
  const node = h('figure', {class: 'chart'}, h('figcaption', null, h('h3', null, title)), legend, drawing, empty, said, table);
  let points = [];
  let chosen = -1;
  let width = 0;

  /** A time, with its day where one time of day comes twice. */
  function when(at) {
    if (daily()) return date(at);
    return points.at(-1).at - points[0].at < DAY ? minute(at) : dated(at);
  }

  const words = (point) => `${when(point.at)}: ${drawn.map((each) => `${each.name} ${label(each.kind === 'band' ? point[each.to] : point[each.key])}`).join(', ')}`;

  drawing.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step || !points.length) return;
    event.preventDefault();
    chosen = Math.min(points.length - 1, Math.max(0, chosen < 0 ? points.length - 1 : chosen + step));
    write(said, words(points[chosen]));
    redraw();
  });
  drawing.addEventListener('pointermove', (event) => choose(event));
  drawing.addEventListener('pointerleave', () => {
    if (document.activeElement !== drawing.firstChild) choose(null);
  });

  function choose(event) {
    const before = chosen;
    if (event === null) chosen = -1;
    else {
      const x = event.clientX - drawing.getBoundingClientRect().left;
      const left = leftOf(ticks(points, series), label);
      chosen = Math.min(points.length - 1, Math.max(0, Math.floor(((x - left) / (width - left)) * points.length)));
    }
    if (chosen === before) return;
    write(said, chosen < 0 ? '' : words(points[chosen]));
    redraw();
  }

  function redraw() {
    if (!width || !points.length) return;
    const focused = document.activeElement === drawing.firstChild;
    const known = points.filter((point) => series.some((each) => point[each.key] !== null));
    const summary = known.length ? `${title}. Last: ${words(known.at(-1))}` : title;
    replace(drawing, paint(points, series, width, {label, when}, summary, chosen));
    if (focused) drawing.firstChild.focus();
  }

  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now !== width) {
      width = now;
      redraw();
    }
  }).observe(drawing);

  function draw(fresh) {
    points = fresh;
    const any = points.some((point) => series.some((each) => point[each.key]));
    show(drawing, any);
    show(table, any);
    show(legend, any && series.length > 1);
    show(empty, !any);
    if (!any) return;
    redraw();
    if (table.open) tabulate();
  }
  function tabulate() {
    const rows = points.filter((point) => series.some((each) => point[each.key])).reverse();
    keep(body, rows, (point) => point.at, () => {
      const cells = drawn.map(() => h('td'));
      const time = h('th', {scope: 'row'});
      return {
        node: h('tr', null, time, cells),
        update(point) {
          write(time, when(point.at));
          drawn.forEach((each, index) => write(cells[index], label(each.kind === 'band' ? point[each.to] : point[each.key])));
        },
      };
    });
  }
  table.addEventListener('toggle', () => table.open && tabulate());
  return {node, draw};
}

function highest(points, series) {
  let most = 0;
  for (const point of points) {
    let stack = 0;
    for (const each of series) {
      if (each.kind === 'column') stack += point[each.key] ?? 0;
      else most = Math.max(most, point[each.key] ?? 0, point[each.to] ?? 0);
    }
    most = Math.max(most, stack);
  }
  return most;
}

/** The first of 1, 2, 5, 10, … that is not less than *value*. */
export function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value * 0.999);
}

/** The values at the axis, from its foot to its top. */
function ticks(points, series) {
  const top = nice(highest(points, series));
  return [0, top / 2, top];
}

/** Where the drawing begins: beside the longest of what is written at the axis. */
const leftOf = (values, label) => Math.max(LEAST_LEFT, 6 + DIGIT * Math.max(...values.map((value) => label(value, true).length)));

function paint(points, series, width, {label, when}, summary, chosen) {
  const values = ticks(points, series);
  const top = values.at(-1);
  const left = leftOf(values, label);
  const inner = width - left;
  const step = inner / points.length;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const x = (index) => left + step * (index + 0.5);
  const parts = [];
  for (const value of values) {
    parts.push(s('line', {class: 'grid', x1: left, x2: width, y1: y(value), y2: y(value)}));
    parts.push(s('text', {x: left - 6, y: y(value) + 4, 'text-anchor': 'end'}, label(value, true)));
  }
  for (const each of series.filter((each) => each.kind === 'band')) parts.push(...band(points, each, x, y));
  parts.push(...columns(points, series.filter((each) => each.kind === 'column'), x, y, step));
  for (const each of series.filter((each) => each.kind === 'line')) parts.push(...line(points, each, x, y));
  const last = points.length - 1;
  // Of few points each has its place; of one there is one time.
  for (const index of new Set([0, Math.floor(last / 2), last])) {
    const few = last < 2;
    const anchor = few ? 'middle' : {0: 'start', [last]: 'end'}[index] ?? 'middle';
    const at = few ? x(index) : {0: left, [last]: width}[index] ?? x(index);
    parts.push(s('text', {x: at, y: HEIGHT - 6, 'text-anchor': anchor}, when(points[index].at)));
  }
  if (chosen >= 0) parts.push(s('line', {class: 'chosen', x1: x(chosen), x2: x(chosen), y1: TOP, y2: y(0)}));
  return s('svg', {role: 'img', 'aria-label': summary, tabindex: '0', width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`}, parts);
}

/** Runs of points that follow one another without a gap. */
function runs(points, key) {
  const found = [];
  let run = null;
  points.forEach((point, index) => {
    if (point[key] === null || point[key] === undefined) run = null;
    else if (run) run.push(index);
    else found.push((run = [index]));
  });
  return found;
}

function line(points, {key, tone}, x, y) {
  const parts = [];
  for (const run of runs(points, key)) {
    if (run.length > 1) {
      parts.push(s('polyline', {class: 'line', 'data-tone': tone, points: run.map((index) => `${x(index).toFixed(1)},${y(points[index][key]).toFixed(1)}`).join(' ')}));
    }
    for (const index of run) {
      if (run.length === 1 || points[index].few) parts.push(s('circle', {class: 'dot', 'data-tone': tone, cx: x(index), cy: y(points[index][key]), r: 2.5}));
    }
  }
  return parts;
}

function band(points, {key, to, tone}, x, y) {
  return runs(points, to).filter((run) => run.length > 1).map((run) => {
    const above = run.map((index) => `${x(index).toFixed(1)},${y(points[index][to]).toFixed(1)}`);
    const below = run.toReversed().map((index) => `${x(index).toFixed(1)},${y(points[index][key]).toFixed(1)}`);
    return s('polygon', {class: 'band', 'data-tone': tone, points: [...above, ...below].join(' ')});
  });
}

function columns(points, series, x, y, step) {
  const parts = [];
  const wide = Math.max(1, Math.min(24, step - 1));
  points.forEach((point, index) => {
    let stack = 0;
    for (const {key, tone} of series) {
      const value = point[key];
      if (!value) continue;
      // Whatever there is can be seen.
      const height = Math.max(2, y(stack) - y(stack + value));
      parts.push(s('rect', {class: `column ${key}`, 'data-tone': tone, x: x(index) - wide / 2, y: y(stack) - height, width: wide, height}));
      stack += value;
    }
  });
  return parts;
}
