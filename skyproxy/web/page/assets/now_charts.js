// The charts of Now: by the server's figures of the last requests, and by what this page has heard since it was opened.

import {get} from './api.js';
import {chart} from './chart.js';
import {button, h, write} from './dom.js';
import {UNKNOWN, duration, minute, money, tickMoney} from './format.js';

const RANGES = [['15 min', 15], ['1 h', 60], ['6 h', 360]];
const REFRESH_MS = 10000;
const KEPT = 90;

// At the axis without the unit, which the title has.
const seconds = (value, tick) => (tick ? String(Number(value.toPrecision(2))) : duration(value));
const milliseconds = (value, tick) => (value === null ? UNKNOWN : `${(value * 1000).toFixed(0)}${tick ? '' : ' ms'}`);
const number = (value, tick) => (tick && value % 1 ? '' : String(value));

/** What the loop and the queues were like, since this page was opened: they outlive the view. */
const heard = [];

export function charts() {
  let range = 60;
  let askedAt = 0;
  let gone = false;
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
  const cost = chart({
    title: 'Cost', label: (value, tick) => (tick ? tickMoney : money)(value), none: 'Nothing was paid for, or no price is known.',
    series: [{key: 'cost', name: 'cost', tone: 'hedge', kind: 'column'}],
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
    h('div', {class: 'charts'}, voice.node, requests.node, cost.node, lag.node),
  );

  function choose(minutes) {
    range = minutes;
    buttons.forEach((each, index) => each.setAttribute('aria-pressed', String(RANGES[index][1] === range)));
    load();
  }

  async function load() {
    askedAt = Date.now();
    const asked = range;
    let found;
    try {
      found = await get('api/series', {minutes: asked});
    } catch {
      return; // What is drawn stays; the sentence on top tells what is wrong.
    }
    if (gone || asked !== range) return;
    write(covered, found.since === null || found.since <= found.points[0].at ? '' : `since ${minute(found.since)}: older requests are no longer kept`);
    const points = found.points.map((each) => ({...each, few: each.samples < 5, cost: each.cost ? Object.values(each.cost)[0] ?? null : null}));
    voice.draw(points);
    requests.draw(points);
    cost.draw(points);
  }

  function update(state) {
    if (state.now) {
      const last = heard.at(-1);
      if (!last || state.now.at - last.at >= 10) {
        heard.push({at: state.now.at, lag: state.now.lag_p99});
        if (heard.length > KEPT) heard.shift();
        lag.draw(heard);
      }
      if (Date.now() - askedAt > REFRESH_MS && !document.hidden) load();
    }
  }
  lag.draw(heard);
  return {node, update, leave: () => (gone = true)};
}
