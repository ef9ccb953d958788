// The charts of Now: by the server's figures of the last requests, and by what this page has heard since it was opened.

import {get} from './api.js';
import {chart} from './chart.js';
import {button, h, keep, write} from './dom.js';
import {UNKNOWN, duration, moment, money, tickMoney} from './format.js';

/** In minutes; the evening's begins after the last long pause, which the ledger knows. */
const RANGES = [['15 min', 15], ['1 h', 60], ['6 h', 360], ['Evening', 'evening']];
const TONES = ['accent', 'ok', 'hedge', 'warn', 'muted'];
const REFRESH_MS = 10000;
const KEPT = 90;

// At the axis without the unit, which the title has.
const seconds = (value, tick) => (tick ? String(Number(value.toPrecision(2))) : duration(value));
function milliseconds(value, tick) {
  if (value === null) return UNKNOWN;
  const written = value < 0.01 ? Number((value * 1000).toPrecision(2)) : (value * 1000).toFixed(0);
  return `${written}${tick ? '' : ' ms'}`;
}
const number = (value, tick) => (tick && value % 1 ? '' : String(value));

/** What the loop and the queues were like, since this page was opened: they outlive the view. */
const heard = [];

export function charts() {
  let range = 60;
  let askedAt = -Infinity;
  let gone = false;
  let latest = [];
  const voice = chart({
    title: 'Wait for the voice (s)', label: seconds, none: 'No stream in this time.',
    series: [
      {key: 'p50', to: 'p95', name: '19 of 20 within', tone: 'accent', kind: 'band'},
      {key: 'p50', name: 'half within', tone: 'accent', kind: 'line'},
    ],
  });
  const requests = chart({
    title: 'Requests', label: number, none: 'No request in this time.',
    series: [
      {key: 'answered', name: 'answered', tone: 'ok', kind: 'column'},
      {key: 'rescued', name: 'rescued', tone: 'accent', kind: 'column'},
      {key: 'failed', name: 'failed', tone: 'bad', kind: 'column'},
    ],
  });
  const cost = h('div', {class: 'as-if-not'});
  const tokens = chart({
    title: 'Tokens', label: number, none: 'No token in this time.',
    series: [{key: 'tokens', name: 'read and written', tone: 'hedge', kind: 'column'}],
  });
  const queue = chart({
    title: 'Under way, and waiting for a place', label: number, none: 'A point comes every 10 s.',
    series: [{key: 'running', name: 'under way', tone: 'accent', kind: 'line'}, {key: 'waiting', name: 'waiting', tone: 'bad', kind: 'line'}],
  });
  const lag = chart({
    title: 'skyproxy’s own delay (ms)', label: milliseconds, none: 'A point comes every 10 s.',
    series: [{key: 'lag', name: 'event loop, p99', tone: 'warn', kind: 'line'}],
  });
  const covered = h('span', {class: 'secondary muted'});
  const buttons = RANGES.map(([label, minutes]) => button(label, () => choose(minutes), {'aria-pressed': String(minutes === range)}));
  const node = h(
    'section', {'aria-label': 'Charts'},
    h('div', {class: 'heading'}, h('h2', null, 'Over time'), covered, h('div', {class: 'actions', role: 'group', 'aria-label': 'Range'}, buttons)),
    h('div', {class: 'charts'}, voice.node, requests.node, cost, tokens.node, queue.node, lag.node),
  );

  function choose(minutes) {
    range = minutes;
    buttons.forEach((each, index) => each.setAttribute('aria-pressed', String(RANGES[index][1] === range)));
    load();
  }

  async function load() {
    askedAt = performance.now();
    const asked = range;
    let found;
    try {
      let minutes = asked;
      if (asked === 'evening') {
        const {from, to} = await get('api/costs', {period: 'evening'});
        minutes = Math.max(1, Math.ceil((to - from) / 60));
      }
      found = await get('api/series', {minutes});
    } catch {
      return; // What is drawn stays; the sentence on top tells what is wrong.
    }
    if (gone || asked !== range) return;
    write(covered, found.since === null || found.since <= found.points[0].at ? '' : `since ${moment(found.since)}: older requests are no longer kept`);
    const points = found.points.map((each) => ({...each, few: each.samples < 5}));
    voice.draw(points);
    requests.draw(points);
    tokens.draw(points);
    latest = points;
    drawCost(points);
  }

  /** One for each currency, with the slots that cost most, and the rest as one. */
  function drawCost(points) {
    const currencies = [...new Set(points.flatMap((each) => Object.keys(each.cost)))];
    const items = (currencies.length ? currencies : ['USD']).map((currency) => {
      const sums = new Map();
      for (const each of points) {
        for (const [slot, costs] of Object.entries(each.cost_by_slot)) sums.set(slot, (sums.get(slot) ?? 0) + (costs[currency] ?? 0));
      }
      const ranked = [...sums].filter(([, sum]) => sum > 0).sort((one, other) => other[1] - one[1]).map(([slot]) => slot);
      // By their names: one that comes to cost more than another makes no new chart.
      return {currency, slots: ranked.slice(0, TONES.length - 1).sort(), more: ranked.length >= TONES.length};
    });
    keep(cost, items, (each) => JSON.stringify(each), ({currency, slots, more}) => {
      const names = [...slots, ...(more || !slots.length ? ['others'] : [])];
      const made = chart({
        title: `Cost per slot (${currency})`, label: (value, tick) => (tick ? tickMoney : money)(value, currency), none: 'Nothing was paid for, or no price is known.',
        series: names.map((name, index) => ({key: `slot ${index}`, name: name || 'no slot', tone: more && index === names.length - 1 ? 'muted' : TONES[index], kind: 'column'})),
      });
      return {node: made.node, update: () => made.draw(latest.map((each) => ({...each, ...columnsOf(each, currency, slots)})))};
    });
  }

  function columnsOf(point, currency, slots) {
    const columns = {[`slot ${slots.length}`]: 0};
    for (const [slot, costs] of Object.entries(point.cost_by_slot)) {
      const index = slots.indexOf(slot);
      const key = `slot ${index < 0 ? slots.length : index}`;
      columns[key] = (columns[key] ?? 0) + (costs[currency] ?? 0);
    }
    return columns;
  }

  function update(state) {
    if (state.now) {
      const last = heard.at(-1);
      if (!last || Math.abs(state.now.at - last.at) >= 10) {
        const waiting = state.now.providers.reduce((sum, each) => sum + each.queue.waiting, 0);
        heard.push({at: state.now.at, lag: state.now.lag_p99, running: state.now.under_way_count, waiting});
        if (heard.length > KEPT) heard.shift();
        lag.draw(heard);
        queue.draw(heard);
      }
      if (performance.now() - askedAt > REFRESH_MS && !document.hidden) load();
    }
  }
  lag.draw(heard);
  queue.draw(heard);
  return {node, update, leave: () => (gone = true)};
}
