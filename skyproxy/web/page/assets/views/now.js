// How all is, now: slots, providers with their deployments, charts, what is under way.

import {get} from '../api.js';
import {budgets} from '../budgets.js';
import {attribute, button, foreign, h, keep, ours, replace, s, show, write} from '../dom.js';
import {UNKNOWN, count, counted, duration, moment, moneys, spent} from '../format.js';
import {breakerButton, cancel, keyButton, limitButton, pauseButton, slotButton, switchProfile} from '../knobs.js';
import {charts} from '../now_charts.js';
import {state as store} from '../store.js';
import {MARKS, TONES, breaker} from '../words.js';

const SPENT_MS = 30000;

export function make({query}) {
  if (query.has('big')) return makeBig();
  const slots = h('ul', {class: 'cards'});
  const cost = h('a', {class: 'secondary', href: '#/costs?period=evening'});
  const providers = h('ul', {class: 'providers'});
  const running = h('ul', {class: 'running'});
  const title = h('h2', null, 'Under way now');
  const drawn = charts();
  const profiles = profileSwitch();
  const changes = h('a', {class: 'secondary', href: '#/changes'});
  const purse = budgets();
  let evening = '';
  let spentAt = -Infinity;
  const node = h(
    'div', null, h('h1', {class: 'unseen'}, 'Now'),
    profiles.node, section('Slots', slots, cost), purse.node, section('Providers', providers, changes),
    h('section', {'aria-label': 'Under way now'}, title, running),
    drawn.node,
  );

  function update(state) {
    const {now} = state;
    drawn.update(state);
    if (!now) return;
    const hour = moneys(now.cost_hour);
    write(cost, [evening && `This evening ${evening}`, hour && `${hour} an hour`].filter(Boolean).join(', '));
    show(cost, Boolean(cost.textContent));
    if (performance.now() - spentAt > SPENT_MS && !document.hidden && state.live === 'live') askSpent();
    write(changes, now.changes ? counted(now.changes, 'change by hand', 'changes by hand') : '');
    show(changes, now.changes > 0);
    profiles.update(now);
    purse.update(now);
    keep(slots, ordered(now.slots), (slot) => slot.name, slotCard);
    keep(providers, now.providers, (each) => each.name, (each) => providerCard(each, now));
    under(state);
  }

  /** What this evening cost, as the ledger has it: the same figure as in Costs. */
  async function askSpent() {
    spentAt = performance.now();
    try {
      const costs = await get('api/costs', {period: 'evening'});
      evening = Object.keys(costs.cost).length ? spent(costs) : '';
    } catch {
      // The figure that is shown stays.
    }
  }

  function under(state) {
    const rows = state.underWay.slice(0, 20);
    const more = (state.now.under_way_count ?? rows.length) - rows.length;
    write(title, rows.length ? `Under way now (${count(rows.length + Math.max(0, more))})` : 'Under way now');
    // What came of them since it was lost nobody knows.
    const until = state.live === 'live' ? Date.now() : state.lostAt;
    const later = Math.max(0, (until - state.seenAt) / 1000);
    // A client may give one id to several.
    const place = (id, index) => rows.slice(0, index).filter((each) => each.id === id).length;
    const items = rows.length ? rows.map((row, index) => ({...row, place: place(row.id, index), seconds: row.seconds + later})) : [{id: '', none: true}];
    keep(running, items, (row) => `${row.id} ${row.place}`, underWay);
  }
  return {node, update, leave: drawn.leave};
}

/** The wall view: the sentence on top, and four numbers. */
function makeBig() {
  const figures = [[pace, talks], ['Under way', (now) => count(now.under_way_count)], ['Waiting for a place', waiting], ['An hour costs', (now) => moneys(now.cost_hour) || UNKNOWN]];
  const values = figures.map(([name]) => [h('dt', null, typeof name === 'string' ? name : ''), h('dd', null, UNKNOWN)]);
  const node = h('div', {class: 'wall'}, h('h1', {class: 'unseen'}, 'Now'), h('dl', null, values.map((each) => h('div', null, each))), h('p', null, h('a', {href: '#/now'}, 'All of it')));
  return {
    node,
    update({now}) {
      if (!now) return;
      figures.forEach(([name, text], index) => {
        if (typeof name !== 'string') write(values[index][0], name(now));
        write(values[index][1], text(now));
      });
    },
  };
}

const waiting = (now) => count(now.providers.reduce((sum, each) => sum + each.queue.waiting, 0));

const watched = (now) => now.slots.find((each) => each.name === 'default') ?? now.slots[0];

function talks(now) {
  const slot = watched(now);
  return slot ? duration(slot.speed.p50) : UNKNOWN;
}

/** What `talks` tells: without a slot for dialogue it is of another, and without streams of whole answers. */
function pace(now) {
  const slot = watched(now);
  const isWhole = slot && slot.speed.p50 !== null && slot.speed.measured !== 'first_token';
  return `${slot?.job ?? 'Dialogue'} ${isWhole ? 'answers' : 'starts talking'} within`;
}

/** The profiles, as buttons; where there is none, nothing. */
function profileSwitch() {
  const list = h('div', {class: 'actions', role: 'group', 'aria-label': 'Profile'});
  const basis = h('p', {class: 'secondary muted'});
  const node = section('Profile', list);
  node.append(basis);
  const costs = new Map();
  let askedAt = -Infinity;

  /** What an hour costs with each, by what was asked lately. */
  async function ask() {
    askedAt = performance.now();
    try {
      const found = await get('api/profiles');
      for (const each of found.profiles) costs.set(each.name, each.text);
      write(basis, found.requests ? `By ${counted(found.requests, 'request', 'requests')} since ${moment(found.since)}, at the prices of each one's models.` : '');
    } catch {
      // The figures that are shown stay.
    }
  }
  return {
    node,
    update(now) {
      show(node, now.profiles.length > 0);
      const names = now.profiles.length ? [...now.profiles, 'off'] : [];
      if (names.length && performance.now() - askedAt > SPENT_MS && !document.hidden) ask();
      show(basis, Boolean(basis.textContent));
      keep(list, names, (name) => name, (name) => {
        const cost = h('span', {class: 'secondary'});
        const each = button([h('span', null, name === 'off' ? 'None' : name), ' ', cost], () => switchProfile(name), {class: 'profile'});
        return {
          node: each,
          update() {
            attribute(each, 'aria-pressed', String((store.now.profile ?? 'off') === name));
            write(cost, costs.get(name) ?? '');
          },
        };
      });
    },
  };
}

/** Each provider:model that is known. */
const models = () => store.now.providers.flatMap((provider) => provider.deployments.map((each) => `${provider.name}:${each.model}`));

function section(title, list, beside) {
  return h('section', {'aria-label': title}, h('div', {class: 'heading'}, h('h2', null, title), beside), list);
}

/** Dialogue first, then by use. */
function ordered(slots) {
  const rank = (slot) => (slot.name === 'default' ? Infinity : slot.strip.length);
  return slots.toSorted((one, other) => rank(other) - rank(one));
}

function chip() {
  const icon = h('span', {'aria-hidden': 'true'});
  const word = h('span');
  const node = h('span', {class: 'chip'}, icon, ' ', word);
  return {
    node,
    update(sign, text, tone) {
      show(node, Boolean(text));
      write(icon, sign);
      write(word, text);
      attribute(node, 'data-tone', tone);
    },
  };
}

function slotCard(first) {
  const health = chip();
  const pace = chip();
  const served = ours('');
  const instead = h('p', {class: 'secondary tone', 'data-tone': 'warn'});
  const number = h('span', {class: 'number'});
  const measured = h('span', {class: 'secondary'});
  const voice = h('p', {class: 'secondary'});
  const line = h('p', {class: 'secondary'});
  const strip = h('div', {class: 'strip'});
  const cost = h('p', {class: 'secondary muted'});
  const requests = h('a', {href: `#/requests?slot=${encodeURIComponent(first.name)}`}, 'Requests');
  const pause = pauseButton(`slot ${first.name}`, {slot: first.name});
  let serves = first.candidates[0] ?? '';
  const actions = h(
    'div', {class: 'actions'}, h('a', {class: 'button', href: `#/try?slot=${encodeURIComponent(first.name)}`, 'aria-label': `Try ${first.name}`}, 'Try'),
    slotButton(first.name, () => serves, models), pause.node,
  );
  const byHand = h('p', {class: 'secondary tone', 'data-tone': 'accent'});
  let marks = '';
  const node = h(
    'li', {class: 'card'},
    h('div', {class: 'heading'}, h('h3', {title: first.name}, foreign(first.job)), requests),
    h('p', {class: 'secondary muted cut'}, served), instead,
    h('p', {class: 'chips'}, health.node, ' ', pace.node), line,
    h('p', {class: 'big'}, number, ' ', measured), voice, strip, cost, byHand, actions,
  );

  function update(slot) {
    const {speed} = slot;
    serves = slot.candidates[0] ?? '';
    pause.update(slot.paused);
    write(byHand, slot.changed ? `Changed by ${slot.changed.by}, ${moment(slot.changed.since)}` : '');
    show(byHand, Boolean(slot.changed));
    write(served, slot.candidates[0] ?? 'nobody');
    attribute(served.parentElement, 'title', slot.candidates.join(', '));
    const [provider] = (slot.candidates[0] ?? '').split(':', 1);
    // Who has answered last and is no candidate any more did so before the slot was changed.
    const isCandidate = slot.candidates.some((each) => each.startsWith(`${slot.answered_by}:`));
    const other = isCandidate && slot.answered_by !== provider;
    show(instead, Boolean(other));
    write(instead, other ? `${slot.answered_by} answers instead` : '');
    health.update(slot.health.icon, slot.health.word, TONES[slot.health.code]);
    pace.update(speed.icon, speed.word, TONES[speed.code]);
    write(line, slot.health.line);
    show(number.parentElement, speed.p50 !== null);
    write(number, duration(speed.p50));
    write(measured, speed.measured === 'first_token' ? 'to start talking' : 'for a whole answer');
    attribute(number.parentElement, 'title', numbers(speed));
    const tail = speed.p95 === null ? `slowest ${duration(speed.slowest)}` : `19 of 20 within ${duration(speed.p95)}`;
    const sentence = speed.sentence_p50 === null ? '' : `; voice can start after ${duration(speed.sentence_p50)}`;
    show(voice, speed.p50 !== null);
    // A unit stays beside its number.
    write(voice, `${tail}${sentence}`.replace(/(\d) (s|min|h)\b/g, '$1\u00a0$2'));
    const hour = moneys(slot.cost_hour);
    show(cost, Boolean(hour));
    write(cost, `${hour} an hour`);
    const key = slot.strip.map((each) => `${each.number}${each.mark}`).join();
    if (key !== marks) {
      marks = key;
      show(strip, slot.strip.length > 0);
      replace(strip, drawStrip(slot));
    }
  }
  return {node, update};
}

const numbers = (speed) => `p50 ${duration(speed.p50)}, p95 ${duration(speed.p95)}, of ${counted(speed.samples, 'request', 'requests')}`;

/** The last 40 requests, one bar each: heights and notches tell as much as colours. */
function drawStrip(slot) {
  const tally = {};
  for (const {mark} of slot.strip) tally[mark] = (tally[mark] ?? 0) + 1;
  const said = Object.entries(tally).map(([mark, number]) => `${number} ${MARKS[mark]}`).join(', ');
  const first = 40 - slot.strip.length;
  const bars = slot.strip.flatMap(({mark, id, number}, index) => {
    const tall = {ok: 10, rescued: 10, failed: 24, left: 4}[mark];
    const x = (first + index) * 6;
    const open = () => (location.hash = `#/requests/${encodeURIComponent(id)}?number=${number}`);
    return [
      s('rect', {class: `mark ${mark}`, x, y: 24 - tall, width: 5, height: tall, on: {click: open}}, s('title', null, `${id}: ${MARKS[mark]}`)),
      mark === 'rescued' && s('rect', {class: 'notch', x, y: 17, width: 5, height: 2}),
    ];
  });
  return s('svg', {role: 'img', 'aria-label': `The last ${slot.strip.length}: ${said}`, viewBox: '0 0 240 24', preserveAspectRatio: 'none'}, bars);
}

function providerCard(first, now) {
  const state = chip();
  const places = h('span');
  const waiting = h('span');
  const missing = h('p', {class: 'secondary'});
  const keys = h('ul', {class: 'keyring secondary'});
  const byHand = h('p', {class: 'secondary tone', 'data-tone': 'accent'});
  const pause = pauseButton(first.name, {provider: first.name});
  const breaks = breakerButton(first.name, {provider: first.name});
  let limited = first.places.limit;
  const actions = h('div', {class: 'actions'}, pause.node, limitButton(first.name, () => limited), breaks.node);
  const net = h('p', {class: 'secondary muted'});
  const list = h('ul', {class: 'deployments'});
  const node = h(
    'li', {class: 'card'},
    h(
      'details', null,
      h('summary', null, h('span', {class: 'provider'}, foreign(first.name)), state.node, h('span', {class: 'secondary figures'}, places, waiting)),
      actions, byHand, missing, keys, list, net,
    ),
  );

  function update(provider) {
    const {in_use: used, limit} = provider.places;
    write(places, `${used} of ${limit} places`);
    write(waiting, provider.queue.waiting ? counted(provider.queue.waiting, 'waits', 'wait') : 'nobody waits');
    attribute(places, 'title', 'permits: requests at once (max_concurrent)');
    state.update(...providerState(provider));
    limited = limit;
    pause.update(provider.paused);
    breaks.update(provider.breaker);
    write(byHand, [provider.paused && `Paused by ${provider.paused.by}, ${moment(provider.paused.since)}`, provider.limit_by_hand && `Limit set by ${provider.limit_by_hand.by}, ${moment(provider.limit_by_hand.since)}`].filter(Boolean).join(' · '));
    show(byHand, Boolean(provider.paused || provider.limit_by_hand));
    show(missing, Boolean(provider.key_missing));
    write(missing, provider.key_missing ? `No key: put ${provider.key_missing} into .env.` : '');
    show(keys, provider.keys.length > 0);
    keep(keys, provider.keys, (key) => key.variable, (key) => keyRow(provider.name, key));
    const {idle, busy, connecting} = provider.connections;
    write(net, `Connections: ${busy} busy, ${idle} idle${connecting ? `, ${connecting} being made` : ''}`);
    keep(list, provider.deployments, (each) => each.model, (each) => deploymentLine(provider, each));
  }
  return {node, update};
}

/** Icon, word, tone: the worst of what there is to say. */
function providerState(provider) {
  if (provider.paused) return ['‖', 'paused by you', 'muted'];
  if (provider.key_missing) return ['✕', 'no key', provider.needed ? 'bad' : 'muted'];
  const own = breaker(provider.breaker);
  if (own) return ['✕', `${own}${again(provider.breaker)}`, 'bad'];
  const aside = provider.keys.filter((key) => key.aside);
  if (aside.length && aside.length === provider.keys.length) return ['✕', 'refuses your key', 'bad'];
  const open = provider.deployments.filter((each) => breaker(each.breaker));
  if (open.length) return ['!', `${counted(open.length, 'model', 'models')} left alone`, 'warn'];
  const resting = provider.deployments.filter((each) => Object.keys(each.rests).length);
  if (resting.length) return ['!', 'at its rate limit', 'warn'];
  const failing = provider.deployments.filter((each) => each.last?.code);
  if (failing.length) return ['!', `last: ${failing[0].last.text || failing[0].last.code}`.slice(0, 60), 'warn'];
  const used = provider.deployments.some((each) => each.answered || each.last);
  return used ? ['✓', 'answers', 'ok'] : ['○', 'not asked yet', 'muted'];
}

const again = (found) => (found.retry_in ? `, asked again in ${duration(found.retry_in)}` : '');

function keyRow(provider, first) {
  const text = h('span');
  const aside = keyButton(provider, first.variable);
  return {
    node: h('li', null, text, aside.node),
    update(key) {
      aside.update(key);
      const state = key.by_hand ? `put aside by ${key.by_hand.by}` : key.aside ? 'refused' : key.resting ? `rests ${duration(key.resting)}` : 'good';
      write(text, `${key.variable}: ${state}, ${counted(key.requests, 'request', 'requests')}`);
    },
  };
}

function deploymentLine(provider, first) {
  const state = chip();
  const figures = h('p', {class: 'secondary'});
  const last = h('p', {class: 'secondary muted'});
  const name = `${provider.name}:${first.model}`;
  const value = {provider: provider.name, model: first.model};
  const pause = pauseButton(name, value);
  const breaks = breakerButton(name, value);
  const node = h('li', null, h('p', {class: 'model'}, h('span', {class: 'cut', title: `${provider.name}:${first.model}`}, ours(`${provider.name}:${first.model}`)), state.node), figures, last, h('div', {class: 'actions'}, pause.node, breaks.node));

  function update(deployment) {
    pause.update(deployment.paused);
    breaks.update(deployment.breaker);
    const open = breaker(deployment.breaker);
    const rests = Object.entries(deployment.rests);
    if (deployment.paused) state.update('‖', `paused by ${deployment.paused.by}`, 'muted');
    else if (open) state.update('✕', `${open}${again(deployment.breaker)}`, 'bad');
    else if (rests.length) state.update('!', rests.map(([key, rest]) => `${key || 'it'} rests ${duration(rest)}`).join(', '), 'warn');
    else state.update('', '', 'muted');
    const parts = [`${count(deployment.answered)} answered`, `${count(deployment.failed)} failed`];
    if (deployment.at_once !== null) parts.push(`takes ${deployment.at_once} at once`);
    if (deployment.first_token_p50 !== null) parts.push(`half start within ${duration(deployment.first_token_p50)}`);
    if (deployment.first_token_p95 !== null) parts.push(`19 of 20 within ${duration(deployment.first_token_p95)}`);
    write(figures, parts.join(' · '));
    const cause = open ? deployment.breaker.cause : deployment.last?.code ? deployment.last.text || deployment.last.code : '';
    show(last, Boolean(cause));
    write(last, cause ? `Last${deployment.last ? ` at ${moment(deployment.last.at)}` : ''}: ${cause}` : '');
  }
  return {node, update};
}

function underWay(first) {
  if (first.none) return {node: h('li', {class: 'muted'}, 'Nothing is asked right now.'), update() {}};
  const phase = ours('');
  const elapsed = h('span', {class: 'elapsed'});
  const node = h(
    'li', null,
    h('a', {href: `#/requests/${encodeURIComponent(first.id)}`}, foreign(first.job ?? first.model)), phase, elapsed,
    button('End…', () => cancel(first.id), {'aria-label': `End ${first.job ?? first.model}, ${first.id}`}),
  );
  return {
    node,
    update(row) {
      write(phase, row.phase ?? '');
      write(elapsed, duration(Math.round(row.seconds * 10) / 10));
    },
  };
}
