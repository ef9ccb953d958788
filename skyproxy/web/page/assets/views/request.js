// One request: what came of it, its timeline as a picture and as a list, what to change, the facts.

import {get} from '../api.js';
import {bodies} from '../bodies.js';
import {attribute, button, copyButton, foreign, h, ours, replace, show, write} from '../dom.js';
import {UNKNOWN, count, day, duration, money, point} from '../format.js';
import {state} from '../store.js';
import {picture} from '../timeline.js';
import {outcome} from '../words.js';

const RUNNING_MS = 500;
const AGAIN_MS = 2000;

export function make({argument: id, query}) {
  const number = query.get('number') ?? '';
  const title = h('h1', {class: 'conclusion'}, foreign(id));
  const before = h('a', {class: 'button', rel: 'prev'}, '‹ before');
  const after = h('a', {class: 'button', rel: 'next'}, 'after ›');
  const chip = h('span', {class: 'chip'});
  const drawing = h('div', {class: 'picture'});
  const list = h('ol', {class: 'happened', 'aria-label': 'What happened'});
  const advice = h('p', {class: 'note'});
  const facts = h('dl', {class: 'facts'});
  const problem = h('p', {class: 'none muted'});
  const actions = h('div', {class: 'actions'});
  const ending = button('End it…', async () => (await import('../knobs.js')).cancel(id));
  const said = bodies(() => ({id, number: request?.number || number}));
  const body = h(
    'div', null, drawing, advice, h('div', {class: 'columns'}, h('section', {'aria-label': 'What happened'}, h('h2', null, 'What happened'), list), h('section', {'aria-label': 'Facts'}, h('h2', null, 'Facts'), facts)),
  );
  const node = h(
    'div', null,
    h('div', {class: 'heading'}, h('p', null, h('a', {href: state.listed}, '‹ Requests'), ' ', h('code', null, foreign(id))), h('div', {class: 'actions'}, before, after)),
    title, h('p', {class: 'chips'}, chip, ' ', ending), body, problem, said.node, actions,
  );
  let request = null;
  let width = 0;
  let askedAt = 0;
  /** Whether it could not be asked for. */
  let failed = false;
  let gone = false;
  show(body, false);
  show(problem, false);
  show(ending, false);
  show(before, false);
  show(after, false);

  async function load() {
    askedAt = performance.now();
    try {
      const found = await get(`api/requests/${encodeURIComponent(id)}`, {number: request?.number || number});
      if (gone) return;
      const isOver = request?.outcome === null && found.outcome !== null;
      failed = false;
      request = found;
      draw();
      neighbours();
      if (isOver) said.again();
    } catch (error) {
      if (gone) return;
      const isNotHere = error.status === 404;
      failed = !isNotHere;
      replace(problem, foreign(`${error.message} `), isNotHere ? null : button('Try again', load));
      show(problem, true);
      show(ending, false);
      if (request && !isNotHere) return;
      request = null;
      show(body, false);
      write(title, isNotHere ? 'This request is not here' : 'This request cannot be shown now');
      show(chip, false);
    }
  }

  function draw() {
    show(problem, false);
    show(body, true);
    const {icon, word, tone} = outcome(request);
    show(ending, request.outcome === null);
    write(title, request.sentence);
    show(chip, true);
    write(chip, `${icon} ${word}${request.status ? ` (${request.status})` : ''}`);
    chip.dataset.tone = tone;
    attribute(title, 'title', id);
    paint();
    replace(list, request.lines.map(happened));
    replace(advice, h('strong', null, 'What to change: '), ours(request.advice));
    show(advice, Boolean(request.advice));
    replace(facts, factsOf(request).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
    if (!actions.childElementCount) {
      actions.append(copyButton('Copy as text', () => asText(request), () => list), h('a', {class: 'button', href: `#/what-if${request.slot ? `?slot=${encodeURIComponent(request.slot)}` : ''}`}, 'What if…'), copyButton('Copy the id', () => id, () => node.querySelector('code')));
    }
  }

  function paint() {
    if (width && request) replace(drawing, picture(request, width));
  }

  async function neighbours() {
    if (!request.number) return;
    let rows = state.rows;
    if (!rows.some((row) => row.number === request.number - 1) || !rows.some((row) => row.number >= request.number)) {
      try {
        rows = (await get('api/requests', {before: request.number + 2, limit: 3})).requests;
      } catch {
        return;
      }
    }
    if (gone) return;
    for (const [link, wanted] of [[before, request.number - 1], [after, request.number + 1]]) {
      const row = rows.find((each) => each.number === wanted);
      show(link, Boolean(row));
      if (row) attribute(link, 'href', `#/requests/${encodeURIComponent(row.id)}?number=${row.number}`);
    }
  }

  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now !== width) {
      width = now;
      paint();
    }
  }).observe(drawing);

  function update({live}) {
    const goesOn = failed || request?.outcome === null;
    if (goesOn && live === 'live' && performance.now() - askedAt > (failed ? AGAIN_MS : RUNNING_MS) && !document.hidden) load();
  }

  function key(name) {
    const link = {'[': before, ']': after, ArrowLeft: before, ArrowRight: after}[name];
    if (!link || link.hidden) return false;
    link.click();
    return true;
  }
  function leave() {
    gone = true;
    said.leave();
  }

  load();
  return {node, update, key, leave};
}

function happened(line) {
  return h('li', {'data-kind': line.kind}, h('span', {class: 'at'}, `+${point(line.at)} s`), ' ', h('bdi', {class: 'what', dir: 'ltr'}, line.text));
}

function asText(request) {
  const lines = request.lines.map((line) => `+${point(line.at)} s  ${line.text}`);
  return [`${request.id}, ${day(request.at)}`, ...lines, `⇒ ${request.sentence}`, ...(request.advice ? [`» ${request.advice}`] : [])].join('\n');
}

function factsOf(request) {
  const {tokens} = request;
  const about = tokens?.estimated ? '≈ ' : '';
  const parts = [
    ['Arrived', day(request.at)],
    ['Client', foreign([request.client, request.agent].filter(Boolean).join(' · ') || UNKNOWN)],
    ['Slot', request.slot ? ours(request.slot.toLowerCase() === request.job.toLowerCase() ? request.job : `${request.job} (${request.slot})`) : UNKNOWN],
    ['Model asked for', foreign(request.model || UNKNOWN)],
    [request.outcome === 'ok' ? 'Answered by' : 'Last asked', request.provider ? ours(`${request.provider}:${request.upstream_model ?? ''}`) : UNKNOWN],
    ['Key', request.key ? h('code', null, foreign(request.key)) : 'none'],
    ['Kind', `${request.endpoint}${request.stream ? ', as a stream' : ', as a whole'}`],
    ['Waited for a place', duration(request.queue)],
    ['First token', duration(request.first_token)],
    ['First sentence', duration(request.first_sentence)],
    ['Whole', duration(request.seconds)],
    ['Tokens', tokens ? tokenText(tokens, about) : 'not told'],
    ['Cost', costText(request)],
  ];
  if (request.error) parts.push(['Error', foreign(request.error)]);
  if (request.cache) parts.push(['Cache', request.cache]);
  return parts;
}

function tokenText(tokens, about) {
  const more = Object.entries({'from the provider’s cache': tokens.cached, 'to think': tokens.reasoning}).filter(([, each]) => each);
  const rest = more.map(([name, each]) => `, ${count(each)} ${name}`).join('');
  return `${about}${count(tokens.prompt ?? 0)} in, ${about}${count(tokens.completion ?? 0)} out${rest}`;
}

function costText(request) {
  if (request.cost === null) return request.tokens ? `${UNKNOWN} no price is known` : UNKNOWN;
  const hedge = request.hedge_cost ? `, and ${money(request.hedge_cost, request.currency)} for what was given up` : '';
  return money(request.cost, request.currency) + hedge;
}
