// The log as it comes, filtered. It does not scroll while somebody reads; a line opens its request.

import {button, foreign, h, show, write} from '../dom.js';
import {count, when} from '../format.js';
import {state as store} from '../store.js';

const LEVELS = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'CRITICAL'];
const TONES = {WARN: 'warn', WARNING: 'warn', ERROR: 'bad', CRITICAL: 'bad'};
const NOT_FIELDS = new Set(['timestamp', 'level', 'message', 'logger', 'traceback']);
const MOST_SHOWN = 1000;

export function make({query}) {
  let level = query.get('level') ?? 'INFO';
  let text = query.get('q') ?? '';
  let following = true;
  let next = 0;
  let waiting = 0;
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
  }, {'aria-pressed': 'false'});
  const whole = h('input', {type: 'checkbox', on: {change: () => list.classList.toggle('whole', whole.checked)}});
  const levels = h('select', {'aria-label': 'Level', on: {change: () => filter(levels.value, text)}}, LEVELS.map((each) => h('option', {value: each, selected: each === level}, `${each.toLowerCase()} and worse`)));
  const search = h('input', {type: 'search', value: text, placeholder: 'text', 'aria-label': 'Filter lines', autocomplete: 'off', on: {input: () => filter(level, search.value)}});
  const node = h('div', {class: 'list'}, h('h1', null, 'Log'), h('div', {class: 'tools'}, levels, search, follow, h('label', {class: 'inline secondary'}, whole, 'Whole lines'), told), box, none);

  function filter(newLevel, newText) {
    level = newLevel;
    text = newText;
    list.replaceChildren();
    next = 0;
    update(store);
  }

  function matches(line) {
    if (line.missed) return true;
    if (LEVELS.indexOf(line.level) < LEVELS.indexOf(level)) return false;
    return !text || JSON.stringify(line).toLowerCase().includes(text.toLowerCase());
  }

  function pause() {
    following = false;
    follow.setAttribute('aria-pressed', 'true');
  }

  function resume() {
    following = true;
    follow.setAttribute('aria-pressed', 'false');
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
    const end = state.linesFrom + state.lines.length;
    const from = Math.max(next, state.linesFrom);
    if (following) {
      let fresh = state.lines.slice(from - state.linesFrom).filter(matches);
      if (fresh.length > MOST_SHOWN) fresh = fresh.slice(-MOST_SHOWN);
      next = end;
      waiting = 0;
      if (fresh.length) {
        list.append(...fresh.map(logLine));
        while (list.childElementCount > MOST_SHOWN) list.firstChild.remove();
        box.scrollTop = box.scrollHeight;
      }
    } else waiting = state.lines.slice(from - state.linesFrom).filter(matches).length;
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

function logLine(line) {
  if (line.missed) return h('li', {class: 'muted'}, `… ${count(line.missed)} lines not shown; the file has them.`);
  const fields = Object.entries(line).filter(([name, value]) => !NOT_FIELDS.has(name) && value !== null && value !== '');
  const written = fields.map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ');
  const id = typeof line.request_id === 'string' ? line.request_id : '';
  const at = Date.parse(line.timestamp);
  return h(
    'li', {'data-tone': TONES[line.level] ?? 'muted'},
    h('time', null, Number.isNaN(at) ? '' : when(at / 1000)), ' ', h('span', {class: 'level tone'}, line.level), ' ',
    h('span', {class: 'said'}, foreign(String(line.message)), ' ', h('bdi', {class: 'secondary muted'}, written)),
    id && h('a', {href: `#/requests/${encodeURIComponent(id)}`, 'aria-label': `Open the request ${id}`}, 'request ›'),
  );
}
