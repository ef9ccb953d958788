// The last requests under other settings: how long somebody would have waited, and what it would have cost.

import {propose} from '../acting.js';
import {get} from '../api.js';
import {button, copyButton, foreign, h, keep, ours, replace, show, write} from '../dom.js';
import {UNKNOWN, count, counted, duration, moment, money} from '../format.js';
import {state as store} from '../store.js';

const TYPED_MS = 200;
const AS_IT_WAS = '';
const OFF = 'off';

export function make({query}) {
  const slot = h('select', {id: 'whatif-slot', on: {change: () => choose()}});
  const period = h('select', {id: 'whatif-period', on: {change: ask}}, h('option', {value: 'all'}, 'All that is kept'), h('option', {value: 'evening'}, 'This evening'));
  const hedge = seconds('hedge_after', 'Ask the next one too, after (hedge_after)', 0.2, 10, 2, ask);
  const timeout = seconds('first_token_timeout', 'Give up without a word, after (first_token_timeout)', 0.5, 30, 6, ask);
  const order = candidates(ask);
  const result = h('div', {role: 'status'});
  const figures = h('div');
  const notes = h('ul', {class: 'notes secondary'});
  const actions = h('div', {class: 'actions'});
  const lines = h('div');
  const hedging = h('ul', {class: 'notes'});
  const problem = h('p', {class: 'tone', 'data-tone': 'bad', role: 'alert'});
  const node = h(
    'div', null, h('h1', null, 'What if'),
    h('p', {class: 'muted'}, 'The last requests as they were timed, reckoned again with other settings. Nothing is changed by that.'),
    h('form', {class: 'try', on: {submit: (event) => event.preventDefault()}},
      h('div', {class: 'choices'}, field('whatif-slot', 'Slot', slot), field('whatif-period', 'Requests', period)),
      h('div', {class: 'choices'}, hedge.node, timeout.node), order.node),
    problem,
    h('section', {'aria-label': 'What would have been'}, h('h2', null, 'What would have been'), result, figures, notes, actions, lines),
    h('section', {'aria-label': 'What hedging was good for'}, h('h2', null, 'What hedging was good for'), hedging),
  );
  let slots = [];
  let asking = null;
  let typed = null;
  let first = true;
  show(problem, false);
  hedge.set(query.get('hedge_after') ?? AS_IT_WAS);
  timeout.set(query.get('first_token_timeout') ?? AS_IT_WAS);
  period.value = query.get('period') === 'evening' ? 'evening' : 'all';
  load();

  function choose() {
    order.offer(slots.find((each) => each.name === slot.value), known());
    ask();
  }

  function known() {
    const all = (store.now?.providers ?? []).flatMap((provider) => provider.deployments.map((each) => `${provider.name}:${each.model}`));
    return [...new Set(all)];
  }

  function ask() {
    clearTimeout(typed);
    typed = setTimeout(load, TYPED_MS);
  }

  async function load() {
    asking?.abort();
    asking = new AbortController();
    const mine = asking;
    const given = new URLSearchParams();
    const wanted = first ? query.get('slot') ?? '' : slot.value;
    for (const [name, value] of [['slot', wanted], ['hedge_after', hedge.value()], ['first_token_timeout', timeout.value()], ['period', period.value]]) {
      if (value) given.set(name, value);
    }
    if (!first) history.replaceState(null, '', `#/what-if?${given}`);
    for (const each of order.changed() ?? []) given.append('order', each);
    try {
      const found = await get('api/whatif', given, mine.signal);
      if (mine !== asking) return;
      show(problem, false);
      if (first) begin(found, wanted);
      tell(found);
    } catch (error) {
      if (error.name === 'AbortError') return;
      replace(problem, foreign(`${error.message} `), button('Try again', load));
      show(problem, true);
    }
  }

  function begin(found, wanted) {
    first = false;
    slots = found.slots;
    replace(slot, h('option', {value: ''}, 'All slots'), slots.map((each) => h('option', {value: each.name}, each.job === each.name ? each.name : `${each.job} (${each.name})`)));
    slot.value = slots.some((each) => each.name === wanted) ? wanted : '';
    order.offer(slots.find((each) => each.name === slot.value), known());
  }

  function tell(found) {
    const {recorded: was, otherwise: would, low, high} = found;
    const changed = Boolean(hedge.value() || timeout.value() || order.changed());
    replace(result, h('p', {class: 'total'}, h('strong', null, ours(sentence(found, changed)))));
    replace(figures, found.requests > 0 && table(was, would, low, high));
    const own = slots.find((each) => each.name === slot.value);
    const set = {};
    if (hedge.value() && hedge.value() !== OFF) set.hedge_after = hedge.value();
    if (timeout.value() && timeout.value() !== OFF) set.first_token_timeout = timeout.value();
    replace(notes, limits(found).map((each) => h('li', null, foreign(each))));
    replace(actions, own && Object.keys(set).length > 0 && button('Set it until skyproxy ends…', () => propose({title: `Change slot ${own.name}`, label: 'Change it', path: 'api/set', value: {slot: own.name, set}})));
    replace(lines, own && changed && yaml(own, hedge.value(), timeout.value(), order.changed()));
    keep(hedging, found.hedging.length ? found.hedging : [{slot: '', none: true}], (each) => each.slot ?? '', account);
  }

  return {
    node,
    update: () => order.know(known()),
    leave() {
      asking?.abort();
      clearTimeout(typed);
    },
  };
}

function field(id, label, control) {
  return h('div', {class: 'field'}, h('label', {for: id}, label), control);
}

/** A choice of 'as it was', 'never', or some seconds. */
function seconds(name, label, least, most, usual, changed) {
  const mode = h('select', {id: `whatif-${name}`, on: {change: turned}}, h('option', {value: AS_IT_WAS}, 'as it was'), h('option', {value: OFF}, 'never'), h('option', {value: 'after'}, 'after …'));
  const range = h('input', {type: 'range', min: least, max: most, step: 0.1, value: usual, 'aria-label': `Seconds of ${name}`, on: {input: turned}});
  const said = h('output', {class: 'secondary'});

  function turned() {
    show(range, mode.value === 'after');
    write(said, mode.value === 'after' ? duration(Number(range.value)) : '');
    range.setAttribute('aria-valuetext', duration(Number(range.value)));
    changed();
  }
  show(range, false);
  return {
    node: h('div', {class: 'field'}, h('label', {for: `whatif-${name}`}, label), mode, range, said),
    value: () => (mode.value === 'after' ? `${range.value}s` : mode.value),
    set(text) {
      const found = /^([0-9.]+)s$/.exec(text);
      mode.value = found ? 'after' : text === OFF ? OFF : AS_IT_WAS;
      if (found) range.value = found[1];
      show(range, mode.value === 'after');
      write(said, found ? duration(Number(range.value)) : '');
    },
  };
}

/** The candidates of a slot, which can be put into another order, left out, and added. */
function candidates(changed) {
  const list = h('ol', {class: 'rows', 'aria-label': 'Asked in this order'});
  const more = h('select', {id: 'whatif-more', on: {change: add}});
  const node = h('div', {class: 'field'}, h('span', {class: 'secondary muted'}, 'Asked in this order'), list, field('whatif-more', 'Another one', more));
  let configured = [];
  let names = [];
  let others = [];
  show(node, false);

  function add() {
    if (more.value) move([...names, more.value]);
  }

  function move(fresh) {
    names = fresh;
    draw();
    changed();
  }

  function draw() {
    const focused = list.contains(document.activeElement) && document.activeElement.getAttribute('aria-label');
    const swap = (index, other) => names.map((name, each) => (each === index ? names[other] : each === other ? names[index] : name));
    replace(list, names.map((name, index) => h(
      'li', null, foreign(name),
      h('div', {class: 'actions'},
        button('↑', () => move(swap(index, index - 1)), {'aria-label': `Ask ${name} earlier`, disabled: index === 0}),
        button('Leave out', () => move(names.filter((each) => each !== name)), {'aria-label': `Leave out ${name}`, disabled: names.length === 1})),
    )));
    if (focused) {
      const same = list.querySelector(`[aria-label="${CSS.escape(focused)}"]:enabled`);
      (same ?? list.querySelector('button:enabled') ?? more).focus();
    }
    replace(more, h('option', {value: ''}, 'None'), others.filter((each) => !names.includes(each)).map((each) => h('option', {value: each}, each)));
  }

  return {
    node,
    changed: () => (JSON.stringify(names) === JSON.stringify(configured) ? null : names),
    offer(slot, known) {
      configured = names = slot?.candidates ?? [];
      others = known;
      show(node, Boolean(slot));
      draw();
    },
    /** Which others there are: this page may hear of them after the slots. */
    know(known) {
      if (known.join('\n') === others.join('\n')) return;
      others = known;
      draw();
    },
  };
}

function sentence(found, changed) {
  if (!found.requests) return found.unknown ? 'Nobody can tell: no time of who would be asked is known.' : 'There is no request to reckon with.';
  const {recorded: was, otherwise: would, low, high} = found;
  if (!changed) return `${span(was.silence)} of silence in ${counted(found.requests, 'request', 'requests')}. Change something above.`;
  const between = range(low.silence, high.silence, span);
  return `${span(was.silence)} of silence would have been ${span(would.silence)}${between ? ` (${between})` : ''}; ${more(was, would)}.`;
}

/** 41 min, 2.5 min: with one digit more than a duration elsewhere. */
const span = (value) => (value < 120 ? duration(value) : `${(value / 60).toFixed(value < 1200 ? 1 : 0)} min`);

const range = (low, high, text) => (text(Math.min(low, high)) === text(Math.max(low, high)) ? '' : `${text(Math.min(low, high))} to ${text(Math.max(low, high))}`);

function more(was, would) {
  const currencies = [...new Set([...Object.keys(was.cost), ...Object.keys(would.cost)])];
  if (!currencies.length) return 'what it would have cost is not known: there is no price';
  const parts = currencies.map((currency) => {
    const difference = (would.cost[currency] ?? 0) - (was.cost[currency] ?? 0);
    if (Math.abs(difference) < 1e-9) return null;
    return `${money(Math.abs(difference), currency)} ${difference > 0 ? 'more' : 'less'}`;
  }).filter(Boolean);
  return parts.length ? `it would have cost about ${parts.join(' and ')}` : 'it would have cost the same';
}

const costs = (sums) => Object.entries(sums.cost).map(([currency, each]) => money(each, currency)).join(' + ') || UNKNOWN;

function table(was, would, low, high) {
  const rows = [
    ['Silence altogether', 'silence', span], ['Half begin within', 'p50', duration], ['19 of 20 begin within', 'p95', duration],
    ['The longest silence', 'longest', duration], ['Failed', 'failed', count], ['Two were asked', 'asked_twice', count],
  ];
  const cells = (label, first, second, between) => h('tr', null, h('th', {scope: 'row'}, label), h('td', {class: 'figure'}, first), h('td', {class: 'figure'}, second), h('td', {class: 'figure'}, between || UNKNOWN));
  const spentBetween = costs(low) === costs(high) ? '' : `${costs(low)} to ${costs(high)}`;
  return h(
    'div', {class: 'sorted plainly', tabindex: '0', role: 'region', 'aria-label': 'As it was, and otherwise'},
    h('table', null, h('caption', {class: 'unseen'}, 'As it was, and otherwise'),
      h('thead', null, h('tr', null, h('td'), ['As it was', 'Otherwise', 'Perhaps'].map((each) => h('th', {scope: 'col', class: 'figure'}, each)))),
      h('tbody', null,
        rows.map(([label, name, text]) => cells(label, text(was[name]), text(would[name]), range(low[name], high[name], text))),
        cells('Cost', costs(was), costs(would), spentBetween),
        (was.unpriced > 0 || would.unpriced > 0) && cells('No price is known of', count(was.unpriced), count(would.unpriced), ''))),
  );
}

/** What it is reckoned with, and what it cannot know. */
function limits(found) {
  const share = (requests) => `${Math.round((requests / Math.max(1, found.requests)) * 100)} %`;
  const since = found.since === null ? '' : ` since ${moment(found.since)}`;
  return [
    `Reckoned with ${counted(found.requests, 'request', 'requests')}${since}; ${count(found.kept)} are kept in memory, 2,000 at most.`,
    found.left_out > 0 && `${counted(found.left_out, 'request is', 'requests are')} left out: answered from memory, left by the game, refused, or not understood.`,
    ...found.assumed.map((each) => `No timing of ${each.deployment} in ${count(each.requests)} (${share(each.requests)}): half of its other times are shorter than what is assumed; “perhaps” is with a quarter and three quarters.`),
    ...found.untimed.map((each) => `No time of ${each.deployment} is known that would do: ${counted(each.requests, 'request needs', 'requests need')} it.`),
    found.unknown > 0 && `${counted(found.unknown, 'request is', 'requests are')} in no figure, since nobody can tell.`,
    'It does not know that more requests at once wait longer, or meet rate limits. Who is given up is reckoned with its prompt alone.',
  ].filter(Boolean);
}

function yaml(slot, hedge, timeout, order) {
  const of = (text) => JSON.stringify(text);
  const [provider, ...model] = (order?.[0] ?? '').split(':');
  const text = [
    'model_slots:', `  ${/^[A-Za-z0-9_-]+$/.test(slot.name) ? slot.name : of(slot.name)}:`,
    order && `    provider: ${of(provider)}`, order && `    model: ${of(model.join(':'))}`, order && `    fallbacks: [${order.slice(1).map(of).join(', ')}]`,
    hedge && (hedge === OFF ? '    # no hedge_after' : `    hedge_after: ${hedge}`), timeout && (timeout === OFF ? '    # no first_token_timeout' : `    first_token_timeout: ${timeout}`),
  ].filter(Boolean).join('\n');
  const shown = h('pre', {class: 'paste-text', tabindex: '0'}, foreign(text));
  return h('div', null, h('p', {class: 'secondary muted'}, 'In the file that is:'), h('div', {class: 'paste'}, shown, copyButton('Copy', () => text, () => shown)));
}

function account(first) {
  const node = h('li');
  return {
    node,
    update(each) {
      if (first.none) return write(node, 'No request has asked a second one too.');
      const cost = Object.entries(each.cost).map(([currency, amount]) => money(amount, currency)).join(' + ') || (each.unpriced ? 'what nobody knows' : 'nothing');
      const rate = each.cost_per_second && Object.entries(each.cost_per_second).map(([currency, amount]) => money(amount, currency)).join(' + ');
      const saved = each.won ? `it avoided ${counted(each.won, 'silence', 'silences')} and saved ${duration(each.saved)} at least${rate ? `, ${rate} a second` : ''}` : 'none was needed: the first was quicker each time';
      return write(node, `${each.job ?? 'No slot'}: ${counted(each.requests, 'request', 'requests')} asked a second one too, for ${cost} besides; ${saved}.${each.unpriced && Object.keys(each.cost).length ? ` Of ${count(each.unpriced)} the cost is not known.` : ''}`);
    },
  };
}
