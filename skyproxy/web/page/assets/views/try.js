// Asks one slot, or two side by side, through this origin's own API.

import {ask, keptRequest} from '../answers.js';
import {get} from '../api.js';
import {compared} from '../compared.js';
import {attribute, button, foreign, h, ours, replace, rest, show, write} from '../dom.js';
import {UNKNOWN, count, duration, money} from '../format.js';
import {reading, state} from '../store.js';

const LINES = [
  ['The tense standoff', 'You are Lydia, housecarl in Whiterun. A stranger draws a sword before the gate. Say one short line to him.'],
  ['The greeting', 'You are Belethor, a merchant. A traveller enters your shop. Greet him in one or two sentences.'],
  ['The rumour', 'You are Hulda, innkeeper of the Bannered Mare. Tell a guest the latest rumour in three sentences.'],
  ['The choice', 'Answer with one word, yes or no: would a guard of Whiterun attack a dragon that lands in the market?'],
  ['The diary', 'You are Farengar, a court wizard. Write five sentences into your diary about a strange stone tablet.'],
  ['The summary', 'Sum up in two sentences: Lydia and the player fought wolves near Riverwood, sold the pelts, and slept at the inn.'],
];
const OWN = 'own';
const TOKENS = 100;
const LONGEST_TEXT = 20000;
const CLOCK_MS = 100;

/** What an answer of about *TOKENS* tokens to *text* would cost. */
function costOf(price, text) {
  return (price.prompt * (Math.ceil(text.length / 4) + 10) + price.completion * TOKENS) / 1e6;
}

export function make({query}) {
  const first = chooser('Slot A', false);
  const second = chooser('Slot B', true);
  const line = h(
    'select', {id: 'try-line', on: {change: choose}},
    LINES.map(([name], index) => h('option', {value: index}, name)), h('option', {value: OWN}, 'Your own text'),
  );
  const text = h('textarea', {id: 'try-text', rows: 3, maxlength: LONGEST_TEXT, on: {input: typed}});
  const cost = h('p', {class: 'secondary muted'});
  const go = h('button', {type: 'submit', class: 'main'}, 'Ask');
  const stop = button('Stop', () => running?.abort());
  const problem = h('p', {class: 'tone', 'data-tone': 'bad'});
  const form = h(
    'form', {class: 'try', on: {submit: asked}},
    h('div', {class: 'choices'}, first.node, second.node, field('try-line', 'Line', line)),
    field('try-text', 'Text', text), cost, h('div', {class: 'actions'}, go, stop), problem,
  );
  const results = h('div', {class: 'answers'});
  const differences = h('div');
  const diff = h('section', {'aria-labelledby': 'try-diff'}, h('h2', {id: 'try-diff'}, 'Where they differ'), differences);
  const node = h(
    'div', null, h('h1', null, 'Try it'),
    h('p', {class: 'muted'}, 'Asks as SkyrimNet does, with what that costs.'), form, results, diff,
  );
  let prices = new Map();
  let running = null;
  let left = false;
  let known = '';
  let priced = reading(state);

  show(stop, false);
  show(diff, false);
  show(problem, false);
  text.value = LINES[0][1];
  load();

  async function load() {
    try {
      const found = await get('api/setup');
      prices = new Map(found.slots.map((slot) => [slot.name, slot.price]));
    } catch {
      // It is asked without a word of what that costs.
    }
    tellCost();
  }

  function choose() {
    if (line.value !== OWN) text.value = LINES[line.value][1];
    else text.select();
    tellCost();
  }

  function typed() {
    const found = LINES.findIndex(([, each]) => each === text.value);
    line.value = found < 0 ? OWN : String(found);
    tellCost();
  }

  function tellCost() {
    const chosen = [first.value(), second.value()].filter(Boolean);
    write(cost, chosen.map((name) => costLine(name)).join(' '));
  }

  function costLine(name) {
    const price = prices.get(name);
    if (!prices.has(name)) return '';
    if (!price) return `What ${name} costs is not known: there is no price of its model.`;
    const amount = costOf(price, text.value);
    if (amount === 0) return `${name} costs nothing${price.source === 'local' ? ': it runs on this machine' : ''}.`;
    return `${name} costs about ${money(amount, price.currency)} (an answer of ${TOKENS} tokens${price.source === 'table' ? ', by the table of prices' : ''}).`;
  }

  first.changed(tellCost);
  second.changed(tellCost);

  async function asked(event) {
    event.preventDefault();
    const models = [first.value(), second.value()].filter(Boolean);
    const words = text.value.trim();
    if (running || !models.length || !words) {
      write(problem, running ? '' : words ? 'There is no slot to ask.' : 'Type something to ask.');
      show(problem, Boolean(problem.textContent));
      return;
    }
    show(problem, false);
    running = new AbortController();
    rest(go, true);
    show(stop, true);
    show(diff, false);
    const panels = models.map((model, index) => panel(model, models.length > 1 ? 'AB'[index] : ''));
    replace(results, panels.map((each) => each.node));
    attribute(results, 'data-two', panels.length > 1);
    const answers = await Promise.all(panels.map((each) => each.run(words, running.signal)));
    running = null;
    if (left) return;
    rest(go, false);
    show(stop, false);
    if (answers.length > 1 && answers.every((each) => each.text)) {
      replace(differences, compared(answers.map((each) => each.text)));
      show(diff, true);
    }
  }

  function update(state) {
    const now = state.now;
    if (!now) return;
    const before = priced;
    priced = reading(state);
    if (before && before !== priced) load();
    const slots = now.slots.map((slot) => [slot.name, slot.job === slot.name ? slot.name : `${slot.job} (${slot.name})`]);
    const models = now.providers.flatMap((provider) => provider.deployments.map((each) => `${provider.name}:${each.model}`));
    const fresh = JSON.stringify([slots, models]);
    if (fresh === known) return;
    known = fresh;
    first.fill(slots, models, query.get('slot') ?? slots[0]?.[0]);
    second.fill(slots, models, query.get('with') ?? '');
    tellCost();
  }

  return {
    node,
    update,
    leave() {
      left = true;
      running?.abort();
    },
  };
}

function field(id, label, control) {
  return h('div', {class: 'field'}, h('label', {for: id}, label), control);
}

/** A choice of a slot, or of a model by its name. */
function chooser(label, optional) {
  const id = `try-${label.at(-1).toLowerCase()}`;
  const select = h('select', {id});
  return {
    node: field(id, optional ? `${label} (to compare)` : label, select),
    value: () => select.value,
    changed: (tell) => select.addEventListener('change', tell),
    fill(slots, models, wanted) {
      const before = select.value || wanted;
      replace(
        select, optional && h('option', {value: ''}, 'None'),
        h('optgroup', {label: 'Slots'}, slots.map(([name, shown]) => h('option', {value: name}, shown))),
        models.length > 0 && h('optgroup', {label: 'Models'}, models.map((name) => h('option', {value: name}, name))),
      );
      select.value = before;
      if (!select.value && !optional) select.selectedIndex = 0;
      if (optional && select.selectedIndex < 0) select.value = '';
    },
  };
}

/** The place of one answer. */
function panel(model, letter) {
  const clock = h('span', {class: 'clock', 'aria-hidden': 'true'});
  const said = h('bdi', {class: 'said'});
  const words = h('p', {class: 'waiting muted'});
  const error = h('div', {class: 'trouble'});
  const figures = h('dl', {class: 'figures'});
  const values = new Map(
    ['First token', 'First sentence', 'Words per second', 'Total', 'Cost', 'Way'].map((name) => {
      const value = h('dd', null, UNKNOWN);
      figures.append(h('div', null, h('dt', null, name), value));
      return [name, value];
    }),
  );
  const more = h('p', {class: 'secondary'});
  const title = h('h2', null, letter && `${letter}: `, foreign(model));
  const node = h(
    'section', {class: 'panel', 'aria-label': `Answer ${letter}`.trim()},
    h('div', {class: 'panel-head'}, title, clock), said, words, error, figures, more,
  );
  show(error, false);

  function heard(answer) {
    write(said, answer.text);
    write(words, answer.text || answer.error ? '' : answer.thinks ? 'It thinks…' : answer.status ? 'It was heard; nothing is said yet…' : 'Asked; waiting…');
    write(values.get('First token'), duration(answer.firstToken));
    write(values.get('First sentence'), duration(answer.firstSentence));
  }

  async function run(text, signal) {
    const began = performance.now();
    const tick = () => write(clock, `${((performance.now() - began) / 1000).toFixed(1)} s`);
    const ticking = setInterval(tick, matchMedia('(prefers-reduced-motion: reduce)').matches ? 1000 : CLOCK_MS);
    const answer = await ask(model, text, {signal, heard});
    clearInterval(ticking);
    write(clock, duration(answer.total));
    write(values.get('Total'), duration(answer.total));
    const spoken = answer.text.split(/\s+/).filter(Boolean).length;
    const talked = answer.total - answer.firstToken;
    write(values.get('Words per second'), spoken > 1 && talked > 0.05 ? (spoken / talked).toFixed(1) : UNKNOWN);
    if (answer.error) fail(answer.error);
    if (answer.id) await tell(answer);
    return answer;
  }

  function fail(message, ...others) {
    replace(
      error, h('p', null, h('span', {class: 'tone', 'data-tone': 'bad', 'aria-hidden': 'true'}, '✕ '), foreign(message)),
      others.filter(Boolean).map((each) => h('p', {class: 'muted'}, foreign(each))),
    );
    show(error, true);
  }

  /** What skyproxy kept of it: the same figures as everywhere else. */
  async function tell(answer) {
    const row = await keptRequest(answer.id);
    if (!row) return;
    write(values.get('First token'), duration(row.first_token ?? answer.firstToken));
    write(values.get('First sentence'), duration(row.first_sentence ?? answer.firstSentence));
    write(values.get('Total'), duration(row.seconds ?? answer.total));
    const estimated = row.tokens?.estimated ? '≈ ' : '';
    write(values.get('Cost'), row.cost === null ? UNKNOWN : estimated + money(row.cost, row.currency));
    replace(values.get('Way'), ours(row.way || UNKNOWN));
    if (answer.error) fail(answer.error, row.sentence === answer.error ? '' : row.sentence, row.advice);
    replace(
      more, row.tokens && `${count(row.tokens.prompt)} tokens in, ${count(row.tokens.completion)} out. `,
      h('a', {href: `#/requests/${encodeURIComponent(answer.id)}`}, 'All steps of this request'),
    );
  }

  return {node, run};
}
