// What was spent, by whom and for what; what hedging added; and whether all requests are accounted for.

import {get} from '../api.js';
import {chart} from '../chart.js';
import {button, foreign, h, keep, ours, replace, show, write} from '../dom.js';
import {UNKNOWN, count, counted, day, duration, money, spent, tickMoney} from '../format.js';
import {sortable} from '../tables.js';

const PERIODS = [['today', 'Today'], ['evening', 'This evening'], ['7d', '7 days'], ['month', 'This month'], ['all', 'All']];
const SOURCES = {
  provider: 'said by the provider', configuration: 'by prices: of the configuration', local: 'on this machine, for nothing',
  table: 'by the table that comes with skyproxy',
};
const BOOK = [
  ['ok', 'answered'], ['client_error', 'not understood'], ['upstream_error', 'provider’s errors'], ['failed', 'failed'],
  ['refused', 'refused'], ['cancelled', 'left by the game'], ['under_way', 'under way'], ['lost', 'lost when skyproxy was killed'],
];
const TONES = ['accent', 'ok', 'hedge', 'warn', 'muted'];
const REFRESH_MS = 15000;
const FRESH_MS = 3000;
const REST_TIMES = 5;
const HOUR = 3600;
const MOST_COLUMNS = 96;

const sum = (cost) => (Object.keys(cost).length ? Object.values(cost).reduce((all, each) => all + each, 0) : null);

function columns(title, name) {
  return [
    {name: title, text: name, value: name},
    {name: 'Cost', kind: 'figure', text: spent, value: (row) => sum(row.cost)},
    {name: 'Requests', kind: 'figure', text: (row) => count(row.requests), value: (row) => row.requests},
    {name: 'Answered', kind: 'figure lesser', text: (row) => count(row.outcomes.ok), value: (row) => row.outcomes.ok},
    {name: 'No price', kind: 'figure lesser', text: (row) => (row.unpriced ? count(row.unpriced) : UNKNOWN), value: (row) => row.unpriced},
    {name: 'Tokens in', kind: 'figure lesser', text: (row) => about(row, 'prompt'), value: (row) => row.tokens.prompt},
    {name: 'Tokens out', kind: 'figure lesser', text: (row) => about(row, 'completion'), value: (row) => row.tokens.completion},
  ];
}

const about = ({tokens}, kind) => (tokens.estimated ? '≈ ' : '') + count(tokens[kind]);

export function make({query}) {
  let period = PERIODS.some(([code]) => code === query.get('period')) ? query.get('period') : 'today';
  let asking = 0;
  let askedAt = 0;
  let rest = 0;
  let newest = -1;
  let gone = false;
  const buttons = PERIODS.map(([code, label]) => ({code, node: button(label, () => choose(code))}));
  const problem = h('p', {class: 'tone', 'data-tone': 'bad', role: 'alert'});
  const total = h('span', {class: 'number'});
  const line = h('p', {class: 'secondary'});
  const about = h('p', {class: 'secondary muted'});
  const unpriced = h('div', {class: 'note'});
  const sources = h('ul', {class: 'notes secondary'});
  const charts = h('div', {class: 'charts'});
  const tables = [
    ['slot', sortable({caption: 'By slot', key: (row) => row.slot ?? '', columns: columns('Slot', (row) => (row.slot ? (row.job === row.slot ? row.slot : `${row.job} (${row.slot})`) : 'no slot'))})],
    ['deployment', sortable({caption: 'By provider and model', key: (row) => row.deployment ?? '', columns: columns('Provider and model', (row) => row.deployment ?? 'none')})],
    ['client', sortable({caption: 'By client', key: (row) => row.client ?? '', columns: columns('Client', (row) => row.client ?? 'not known')})],
  ];
  const hedging = h('p');
  const book = h('div');
  const body = h(
    'div', null, h('p', {class: 'total'}, total), line, about, unpriced, part('Over time', charts), tables.map(([, table]) => table.node),
    part('Where prices come from', sources), part('Hedging', hedging, h('p', null, h('a', {href: '#/what-if'}, 'What if it were set otherwise?'))),
    part('The book', book),
  );
  const node = h(
    'div', null, h('h1', null, 'Costs'), h('div', {class: 'actions', role: 'group', 'aria-label': 'Period'}, buttons.map((each) => each.node)),
    problem, body,
  );
  show(body, false);
  show(problem, false);

  function choose(code) {
    period = code;
    history.replaceState(null, '', `#/costs?period=${code}`);
    load();
  }

  async function load() {
    const began = performance.now();
    asking += 1;
    const asked = period;
    for (const {code, node: each} of buttons) each.setAttribute('aria-pressed', String(code === period));
    try {
      const [costs, balance] = await Promise.all([get('api/costs', {period}), get('api/book', {period})]);
      if (gone || asked !== period) return;
      show(problem, false);
      show(body, true);
      tell(costs);
      tellBook(balance);
    } catch (error) {
      if (gone) return;
      replace(problem, foreign(`${error.message} What is shown is older. `), button('Try again', load));
      show(problem, true);
    } finally {
      asking -= 1;
      askedAt = performance.now();
      // Of very many requests it takes long: then it is asked for seldom.
      rest = REST_TIMES * (askedAt - began);
    }
  }

  function tell(costs) {
    write(total, spent(costs));
    write(line, `${counted(costs.requests, 'request', 'requests')}, ${count(costs.tokens.prompt)} tokens in, ${count(costs.tokens.completion)} out${Object.keys(costs.estimated_cost).length ? '; ≈ has parts that skyproxy has reckoned itself' : ''}`);
    write(about, `${costs.from ? `From ${day(costs.from)} on. ` : ''}${costs.file ? `Kept in ${costs.file}` : 'Kept in memory until skyproxy ends.'}`);
    const missing = costs.unpriced;
    show(unpriced, missing.length > 0);
    replace(
      unpriced, h('p', null, h('strong', null, 'No price is known'), ` of ${counted(missing.length, 'model', 'models')}: ${counted(missing.reduce((all, each) => all + each.requests, 0), 'request is', 'requests are')} not in these sums. Name them under `, h('code', null, 'prices:'), '.'),
      h('ul', {class: 'notes secondary'}, missing.slice(0, 20).map((each) => h('li', null, ours(each.deployment ?? 'none'), ` ${counted(each.requests, 'request', 'requests')}, ${counted(each.tokens, 'token', 'tokens')}`))),
    );
    for (const [name, table] of tables) {
      table.set(costs[`by_${name}`]);
      show(table.node, costs[`by_${name}`].length > 0);
    }
    const said = costs.by_source.map((each) => {
      const dated = each.source === 'table' && costs.table_date ? `, of ${costs.table_date}` : '';
      return each.source ? `${spent(each)} ${SOURCES[each.source] ?? each.source}${dated}` : `${UNKNOWN} no price is known`;
    });
    replace(sources, said.length ? said.map((each) => h('li', null, foreign(each))) : h('li', null, 'Nothing was asked in this time.'));
    const {requests, silences_avoided: avoided, seconds_saved_at_least: saved} = costs.hedging;
    write(hedging, requests
      ? `${counted(requests, 'request', 'requests')} asked a second one too: it cost ${spent(costs.hedging)} besides, avoided ${counted(avoided, 'silence', 'silences')}, and saved ${duration(saved)} at least.`
      : 'No request asked a second one too in this time.');
    draw(costs);
  }

  /** A chart for each currency: columns by slot, of hours, or of days where there are too many hours. */
  function draw(costs) {
    const currencies = [...new Set(costs.hours.map((each) => each.currency))];
    const items = (currencies.length ? currencies : ['USD']).map((currency) => {
      const hours = costs.hours.filter((each) => each.currency === currency);
      return {currency, hours, names: ranked(hours)};
    });
    keep(charts, items, ({currency, names}) => JSON.stringify([currency, names]), ({currency, names}) => {
      let byDay = false;
      const made = chart({
        title: `Cost by slot (${currency})`, label: (value, tick) => (tick ? tickMoney : money)(value, currency), none: 'Nothing was paid for, or no price is known.',
        series: (names.length ? names : ['cost']).map((name, index) => ({key: `slot ${index}`, name, tone: TONES[index], kind: 'column'})),
        daily: () => byDay,
      });
      return {
        node: made.node,
        update({hours}) {
          const {points, daily} = steps(costs, hours, names);
          byDay = daily;
          made.draw(points);
        },
      };
    });
  }

  function tellBook(found) {
    const parts = BOOK.filter(([name]) => found[name] || name === 'ok').map(([name, word]) => `${word} ${count(found[name])}`);
    const {records, by_provider: providers, by_slot: slots} = found.tokens;
    const wrong = Object.entries(found.differences).map(([name, value]) => `${name.replaceAll('_', ' ')} ${value > 0 ? '+' : ''}${count(value)}`);
    replace(
      book,
      h('p', null, h('span', {class: 'tone', 'data-tone': found.balances ? 'ok' : 'bad'}, found.balances ? '✓ It balances. ' : '✕ It does not balance. '), `Arrived ${count(found.arrived)} = ${parts.join(' + ')}.`),
      wrong.length > 0 && h('p', {class: 'tone', 'data-tone': 'bad'}, `Too many or too few: ${wrong.join(', ')}.`),
      h('p', {class: 'secondary'}, `Tokens: ${count(records)} in the records of all requests = ${count(tokensOf(providers))} by provider = ${count(tokensOf(slots))} by slot.`),
    );
  }

  function update(state) {
    const ago = performance.now() - askedAt;
    const due = ago > Math.max(rest, state.newest === newest ? REFRESH_MS : FRESH_MS);
    if (state.live === 'live' && !document.hidden && !asking && due) {
      newest = state.newest;
      load();
    }
  }
  load();
  return {node, update, leave: () => (gone = true)};
}

const tokensOf = (rows) => rows.reduce((all, each) => all + each.tokens, 0);

function part(title, ...kids) {
  return h('section', {'aria-label': title}, h('h2', null, title), kids);
}

/** The slots that cost most, and the rest as one. */
function ranked(hours) {
  const sums = new Map();
  for (const {slot, cost} of hours) sums.set(slot ?? 'no slot', (sums.get(slot ?? 'no slot') ?? 0) + cost);
  const names = [...sums].sort((one, other) => other[1] - one[1]).map(([name]) => name);
  // By their names: one that comes to cost more than another makes no new chart.
  return names.length > TONES.length ? [...names.slice(0, TONES.length - 1).sort(), 'others'] : names.sort();
}

function steps(costs, hours, names) {
  const first = hours.reduce((least, each) => Math.min(least, each.at), Infinity);
  const from = Math.max(costs.from, Number.isFinite(first) ? first : costs.to);
  const daily = (costs.to - from) / HOUR > MOST_COLUMNS;
  // The server's hours are those of UTC. A clock that is put back has some of its own twice, which Date takes for one.
  const begin = (at) => (daily ? new Date(at * 1000).setHours(0, 0, 0, 0) / 1000 : at - (at % HOUR));
  const points = [];
  const index = new Map();
  const empty = (at) => ({at, ...Object.fromEntries(names.map((_, each) => [`slot ${each}`, null]))});
  for (let at = begin(from); at <= costs.to; at = begin(at + (daily ? 36 : 1) * HOUR)) {
    index.set(at, points.length);
    points.push(empty(at));
    if (points.length > 1000) break;
  }
  for (const {at, slot, cost} of hours) {
    const place = points[index.get(begin(Math.max(at, from)))];
    const named = names.indexOf(slot ?? 'no slot');
    const key = `slot ${named < 0 ? names.length - 1 : named}`;
    if (place) place[key] = (place[key] ?? 0) + cost;
  }
  return {points, daily};
}
