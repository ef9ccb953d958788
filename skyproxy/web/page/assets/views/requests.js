// The last requests: searched and filtered by the server, live, in a table of which only what is seen is in the document.

import {get} from '../api.js';
import {button, h, ours, replace, show, write} from '../dom.js';
import {count, duration, money, time, UNKNOWN, when} from '../format.js';
import {leftOut, merged} from '../live.js';
import {windowed} from '../rows.js';
import {state} from '../store.js';
import {CLASSES, outcome} from '../words.js';

const PAGE = 200;
const REFRESH_MS = 2000;
const TYPED_MS = 250;
const phone = matchMedia('(max-width: 600px)');
const COLUMNS = [
  {name: 'Time', sort: 'time'}, {name: 'Slot'}, {name: 'Way', kind: 'way'}, {name: 'Outcome'},
  {name: 'First token', kind: 'figure', sort: 'first_token'}, {name: 'First sentence', kind: 'figure'},
  {name: 'Total', kind: 'figure', sort: 'total'}, {name: 'Cost', kind: 'figure', sort: 'cost'},
];
const SORTS = COLUMNS.filter((each) => each.sort);

/** What the list was when it was left: who comes back finds it where it was. */
let left = null;

export function make({query: given}) {
  const query = Object.fromEntries(['q', 'outcome', 'slot', 'provider', 'client'].map((name) => [name, given.get(name) ?? '']));
  const order = {sort: SORTS.find((each) => each.sort === given.get('sort'))?.sort ?? 'time', up: given.get('order') === 'asc'};
  // The newest on top: only so do rows arrive as they end.
  const live = () => order.sort === 'time' && !order.up;
  const asParameters = () => (live() ? {} : {sort: order.sort, ...(order.up ? {order: 'asc'} : {})});
  const filtered = () => Object.values(query).some((value) => value && value !== 'all');
  let rows = [];
  let pending = [];
  let next = null;
  let matching = 0;
  let kept = 0;
  let loading = null;
  let known = false;
  let atTop = true;
  let asked = 0;
  let refreshed = 0;
  let chosen = -1;
  let gone = false;
  let ended = 0;
  let boot = state.boot;
  // How often what is listed was asked for anew: what was asked before that tells of another list.
  let lists = 0;
  // Whether more have come than were told, so that there would be a gap.
  let gap = false;

  const search = h('input', {
    type: 'search', value: query.q, placeholder: 'id, slot, model, error, client', 'aria-label': 'Search requests',
    autocomplete: 'off', spellcheck: 'false',
  });
  const classes = CLASSES.map(([code, label]) => ({code, label, node: button(label, () => filter('outcome', code === 'all' ? '' : code))}));
  const selects = [['slot', 'Slot'], ['provider', 'Provider'], ['client', 'Client']].map(([name, label]) => {
    const node = h('select', {'aria-label': label, on: {change: () => filter(name, node.value)}}, h('option', {value: ''}, `${label}: all`));
    return {name, label, node};
  });
  // On a phone the table has no head to press.
  const sorts = h('select', {class: 'phone', 'aria-label': 'Sort', on: {change: () => sort(...sorts.value.split(' '))}}, SORTS.map(({name, sort: by}) => [
    h('option', {value: `${by} down`}, `${name} ↓`), h('option', {value: `${by} up`}, `${name} ↑`),
  ]));
  const fresh = button('', () => {
    table.toTop();
    if (live()) take();
    else load();
  }, {class: 'fresh'});
  const none = h('p', {class: 'none muted'});
  const between = h('span');
  const gaps = h('p', {class: 'secondary muted'}, between, ' ', button('Show the newest', () => load()));
  const problem = h('p', {class: 'tone', 'data-tone': 'bad', role: 'alert'});
  const table = windowed({
    caption: 'Requests', columns: COLUMNS, make: tableRow, end: more, sort: (by) => sort(by, by === order.sort && !order.up ? 'up' : 'down'), height: () => (phone.matches ? 56 : 32),
    scrolled(top) {
      atTop = top;
      if (top && pending.length && !table.hasFocus()) take();
    },
  });
  let typed = null;
  search.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(() => filter('q', search.value.trim()), TYPED_MS);
  });
  const node = h(
    'div', null, h('h1', null, 'Requests'),
    h('div', {class: 'tools'}, search, selects.map((each) => each.node), sorts),
    h('div', {class: 'tools', role: 'group', 'aria-label': 'Outcome'}, classes.map((each) => each.node)),
    problem, h('div', {class: 'under'}, fresh, table.node), gaps, none,
  );
  for (const each of [fresh, gaps, problem]) show(each, false);

  function filter(name, value) {
    if (query[name] === value) return;
    query[name] = value;
    again();
  }

  function sort(by, way) {
    order.sort = by;
    order.up = way === 'up';
    again();
  }

  /** The address that tells what is wanted. */
  function here() {
    const params = new URLSearchParams({...Object.fromEntries(Object.entries(query).filter(([, each]) => each)), ...asParameters()});
    return `#/requests${params.size ? `?${params}` : ''}`;
  }

  /** Has the address tell it, and asks for it. */
  function again() {
    history.replaceState(null, '', here());
    tellOrder();
    load();
  }

  function tellOrder() {
    table.sorted(order.sort, order.up);
    sorts.value = `${order.sort} ${order.up ? 'up' : 'down'}`;
  }

  async function load() {
    loading?.abort();
    loading = new AbortController();
    const mine = loading;
    asked = performance.now();
    lists += 1;
    try {
      const found = await get('api/requests', {...query, ...asParameters(), limit: PAGE}, mine.signal);
      if (gone || mine !== loading) return;
      rows = found.requests;
      pending = [];
      gap = false;
      next = found.next;
      ended = found.matching;
      known = true;
      table.toTop();
      facts(found);
      draw();
    } catch (error) {
      if (error.name !== 'AbortError') failed(error);
    } finally {
      if (mine === loading) loading = null;
    }
  }

  async function more() {
    if (loading || next === null) return;
    loading = new AbortController();
    const mine = loading;
    try {
      const found = await get('api/requests', {...query, ...asParameters(), limit: PAGE, before: next}, mine.signal);
      if (gone || mine !== loading) return;
      rows = live() ? merged(found.requests, rows) : appended(rows, found.requests);
      next = found.next;
      draw();
    } catch (error) {
      if (error.name !== 'AbortError') failed(error);
    } finally {
      if (mine === loading) loading = null;
    }
  }

  /** What is new of a filtered list, and the counts of any. */
  async function refresh() {
    asked = performance.now();
    const list = lists;
    try {
      const found = await get('api/requests', {...query, limit: filtered() && live() ? 50 : 1});
      if (gone || loading || list !== lists) return;
      facts(found);
      if (!live()) tellPending();
      else if (filtered()) {
        const known = pending[0]?.number ?? rows[0]?.number ?? 0;
        gap ||= found.next !== null && found.requests.at(-1).number > known;
        arrive(found.requests);
      }
    } catch (error) {
      if (!gone && list === lists) failed(error);
    }
  }

  function arrive(some) {
    const first = Math.max(rows[0]?.number ?? 0, pending[0]?.number ?? 0);
    const newer = some.filter((row) => row.number > first);
    if (newer.length) pending = merged(newer, pending);
    if (!pending.length) return;
    // Who is at a row by the keyboard keeps it.
    if (atTop && !table.hasFocus()) take();
    else if (newer.length) tellPending();
  }

  function take() {
    if (gap) {
      if (!loading) load();
      return;
    }
    rows = merged(pending, rows);
    pending = [];
    draw();
  }

  function tellPending() {
    const all = pending.length && rows.length && !filtered() ? pending[0].number - rows[0].number : pending.length;
    const many = live() && !gap ? all : Math.max(0, matching - ended);
    write(fresh, `${count(many)} new ${live() ? '↑' : '↻'}`);
    show(fresh, many > 0);
  }

  function facts(found) {
    show(problem, false);
    ({matching, kept} = found);
    for (const {code, label, node} of classes) {
      write(node, `${label} ${count(found.counts[code])}`);
      node.setAttribute('aria-pressed', String((query.outcome || 'all') === code));
    }
    for (const {name, node} of selects) {
      const values = found[`${name}s`];
      if (query[name] && !values.includes(query[name])) values.push(query[name]);
      if (values.join('\n') !== node.dataset.values) {
        node.dataset.values = values.join('\n');
        replace(node, node.firstChild, values.map((value) => h('option', {value}, value)));
      }
      node.value = query[name];
    }
    search.dataset.known = 'true';
  }

  function failed(error) {
    write(problem, known ? `${error.message} What is shown is from ${time(refreshed / 1000)}.` : error.message);
    show(problem, true);
  }

  function draw() {
    refreshed = Date.now();
    table.set(rows, Math.max(matching, rows.length));
    tellPending();
    const many = live() && !filtered() ? leftOut(rows) : 0;
    write(between, `${count(many)} more ended in between, too many at once to be listed as they came.`);
    show(gaps, many > 0);
    show(table.node, rows.length > 0);
    show(none, known && !rows.length);
    if (known && !rows.length) {
      if (filtered()) replace(none, `None of ${count(kept)} matches. `, button('Clear filters', clear));
      else replace(none, 'No request yet.');
    }
  }

  function clear() {
    search.value = '';
    for (const name of Object.keys(query)) query[name] = '';
    again();
  }

  function update(state) {
    const before = boot;
    boot = state.boot;
    if (before && before !== boot) {
      // The process is a new one: its numbers begin anew.
      update.newest = -1;
      load();
      return;
    }
    if (state.live !== 'live') return;
    const old = performance.now() - asked > REFRESH_MS;
    if (!known) {
      if (old && !loading && !document.hidden) load();
      return;
    }
    if (live()) arrive(filtered() ? [] : state.rows);
    if (old && !loading && !document.hidden && state.newest > (update.newest ?? -1)) {
      update.newest = state.newest;
      refresh();
    }
  }

  function key(name) {
    if (name === '/') search.focus();
    else if ((name === 'j' || name === 'k') && rows.length) {
      chosen = Math.min(rows.length - 1, Math.max(0, chosen + (name === 'j' ? 1 : -1)));
      table.focus(chosen);
    } else return false;
    return true;
  }

  function leave() {
    gone = true;
    state.listed = here();
    left = {query: JSON.stringify([query, order]), boot, rows, ended, next, matching, kept, top: table.node.scrollTop};
    loading?.abort();
    clearTimeout(typed);
  }

  tellOrder();
  if (left && left.boot === boot && left.query === JSON.stringify([query, order]) && left.rows.length && left.top > 0) {
    ({rows, ended, next, matching, kept} = left);
    known = true;
    const {top} = left;
    draw();
    requestAnimationFrame(() => (table.node.scrollTop = top));
    refresh();
  } else load();
  return {node, update, key, leave};
}

/** *more* after *rows*, each once: rows may have moved since. */
function appended(rows, more) {
  const known = new Set(rows.map((row) => row.number));
  return [...rows, ...more.filter((row) => !known.has(row.number))];
}

function tableRow() {
  const link = h('a');
  const slot = h('bdi');
  const way = ours('');
  const icon = h('span', {'aria-hidden': 'true'});
  const word = h('span');
  const cell = (kind, ...kids) => h('td', {role: 'cell', class: kind}, kids);
  const [token, sentence, total, cost] = ['token', 'voice', 'total', 'cost'].map((kind) => cell(`figure ${kind}`));
  const result = h('span', {class: 'tone'}, icon, ' ', word);
  const wayCell = cell('way', way);
  const node = h(
    'tr', {role: 'row', on: {click: (event) => !event.target.closest('a') && !String(getSelection()) && link.click()}},
    cell('time', link), cell('slot', slot), wayCell, cell('outcome', result), token, sentence, total, cost,
  );
  return {
    node,
    update(row) {
      const {icon: sign, word: text, tone} = outcome(row);
      const href = `#/requests/${encodeURIComponent(row.id)}?number=${row.number}`;
      if (link.getAttribute('href') !== href) link.setAttribute('href', href);
      write(link, when(row.at));
      write(slot, row.job ?? row.model);
      write(way, row.way);
      wayCell.title = row.way;
      write(icon, sign);
      write(word, text);
      result.dataset.tone = tone;
      write(token, duration(row.first_token));
      write(sentence, duration(row.first_sentence));
      write(total, duration(row.seconds));
      write(cost, row.cost === null ? UNKNOWN : money(row.cost, row.currency));
    },
  };
}
