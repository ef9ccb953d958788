// The log as it comes, filtered. It does not scroll while somebody reads; a line opens its request.

import {button, foreign, h, show, write} from '../dom.js';
import {count, when} from '../format.js';
import {state as store} from '../store.js';

const LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL'];
const TONES = {WARN: 'warn', ERROR: 'bad', CRITICAL: 'bad'};
const NOT_FIELDS = new Set(['timestamp', 'level', 'message', 'logger', 'traceback']);
const MOST_SHOWN = 1000;

export function make({query}) {
  let level = query.get('level') ?? 'INFO';
  let text = (query.get('q') ?? '').trim().toLowerCase();
  let following = true;
  /** The number of the first line that was not looked at yet. */
  let next = 0;
  let last = 0;
  const list = h('ol', {class: 'lines', 'aria-label': 'Lines of the log'});
  const box = h('div', {class: 'scroller log', tabindex: '0', role: 'region', 'aria-label': 'Log', on: {scroll}}, list);
  const none = h('p', {class: 'none muted'});
  const told = h('span', {class: 'secondary'});
  let held = false;
  const follow = button('Pause', () => {
    held = following;
    if (following) pause();
    else resume();
  });
  const whole = h('input', {type: 'checkbox', on: {change: () => list.classList.toggle('whole', whole.checked)}});
  const levels = h('select', {'aria-label': 'Level', on: {change: () => filter(levels.value, text)}}, LEVELS.map((each) => h('option', {value: each, selected: each === level}, `${each.toLowerCase()} and worse`)));
  const search = h('input', {type: 'search', value: query.get('q') ?? '', placeholder: 'text', 'aria-label': 'Filter lines', autocomplete: 'off', on: {input: () => filter(level, search.value)}});
  const node = h('div', null, h('h1', null, 'Log'), h('div', {class: 'tools'}, levels, search, follow, h('label', {class: 'inline secondary'}, whole, 'Whole lines'), told), box, none);

  function filter(newLevel, newText) {
    level = newLevel;
    text = newText.trim().toLowerCase();
    list.replaceChildren();
    const until = following ? Infinity : next;
    next = 0;
    draw(until);
    update(store);
  }

  /** Lists the lines before the one with the number *until* that are not listed yet. */
  function draw(until) {
    const {lines, linesFrom} = store;
    const from = Math.max(next, linesFrom);
    next = Math.min(until, linesFrom + lines.length);
    const fresh = lines.slice(from - linesFrom, Math.max(0, next - linesFrom)).filter(matches).slice(-MOST_SHOWN);
    if (!fresh.length) return;
    show(box, true);
    list.append(...fresh.map(logLine));
    while (list.childElementCount > MOST_SHOWN) list.firstChild.remove();
    box.scrollTop = box.scrollHeight;
  }

  function matches(line) {
    if (line.missed) return true;
    if (LEVELS.indexOf(line.level) < LEVELS.indexOf(level)) return false;
    return !text || saidIn(line).includes(text);
  }

  function pause() {
    following = false;
    update(store);
  }

  function resume() {
    following = true;
    update(store);
    box.scrollTop = box.scrollHeight;
  }

  function scroll() {
    const up = box.scrollTop < last;
    last = box.scrollTop;
    const atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
    if (following && up && !atEnd) pause();
    else if (!following && !up && atEnd && !held) resume();
  }

  function update(state) {
    if (following) draw(Infinity);
    const waiting = following ? 0 : state.lines.slice(Math.max(0, next - state.linesFrom)).filter(matches).length;
    write(follow, following ? 'Pause' : 'Go on');
    write(told, following ? '' : `Paused${waiting ? `, ${count(waiting)} new` : ''}`);
    show(box, list.childElementCount > 0);
    show(none, list.childElementCount === 0);
    write(none, state.lines.length ? 'No line matches.' : 'No line yet.');
  }

  function key(name) {
    if (name === 'p') follow.click();
    else if (name === '/') search.focus();
    else return false;
    return true;
  }
  return {node, update, key};
}

/** The fields of *line* as they are shown. */
function fieldsOf(line) {
  const fields = Object.entries(line).filter(([name, value]) => !NOT_FIELDS.has(name) && value !== null && value !== '');
  return fields.map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ');
}

/** What is looked through: what is shown, and what is not. */
function saidIn(line) {
  return [line.level, line.message, fieldsOf(line), line.logger, line.traceback].join(' ').toLowerCase();
}

function logLine(line) {
  if (line.missed) return h('li', {class: 'muted'}, `… ${count(line.missed)} lines not shown; the file has them.`);
  const id = typeof line.request_id === 'string' ? line.request_id : '';
  const at = Date.parse(line.timestamp);
  return h(
    'li', {'data-tone': TONES[line.level] ?? 'muted'},
    h('time', null, Number.isNaN(at) ? '' : when(at / 1000)), ' ', h('span', {class: 'level tone'}, line.level), ' ',
    h('span', {class: 'said'}, foreign(String(line.message)), ' ', h('bdi', {class: 'secondary muted'}, fieldsOf(line))),
    id && h('a', {href: `#/requests/${encodeURIComponent(id)}`, 'aria-label': `Open the request ${id}`}, 'request ›'),
  );
}
