// The requests whose bodies are kept, the newest first: they outlive the list of the last requests, and restarts.

import {get} from '../api.js';
import {button, foreign, h, replace, show, write} from '../dom.js';
import {UNKNOWN, count, day, duration} from '../format.js';
import {outcome} from '../words.js';

const PAGE = 50;

export function make() {
  const about = h('p', {class: 'muted'});
  const problem = h('p', {class: 'tone', 'data-tone': 'bad', role: 'alert'});
  const only = h('select', {'aria-label': 'Outcome', on: {change: () => load()}}, h('option', {value: ''}, 'All'), ['failed', 'upstream_error', 'client_error', 'refused', 'cancelled', 'ok'].map((each) => h('option', {value: each}, outcome({outcome: each}).word)));
  const list = h('ul', {class: 'rows kept', 'aria-label': 'Kept requests'});
  const more = button('Older ones', () => load(next));
  const node = h('div', null, h('h1', null, 'What was said'), about, h('div', {class: 'tools'}, only), problem, list, more);
  let next = null;
  let asked = 0;
  let gone = false;
  show(problem, false);
  show(more, false);
  load();

  async function load(before) {
    const mine = (asked += 1);
    try {
      const found = await get('api/bodies', {before, outcome: only.value, limit: PAGE});
      if (gone || mine !== asked) return;
      show(problem, false);
      const mode = {off: 'Nothing is recorded now (record_bodies: off).', errors: 'Requests that fail are recorded.', all: 'All requests are recorded.'}[found.record_bodies];
      write(about, `${mode} ${count(found.kept)} kept${found.file ? `, in ${found.file}` : ''}.${found.lost ? ` ${count(found.lost)} could not be.` : ''}`);
      if (!before) replace(list);
      list.append(...found.requests.map(item));
      next = found.next;
      show(more, next !== null);
    } catch (error) {
      if (gone || mine !== asked) return;
      replace(problem, foreign(`${error.message} `), button('Try again', () => load(before)));
      show(problem, true);
    }
  }
  return {node, leave: () => (gone = true)};
}

function item(row) {
  const {icon, word, tone} = outcome(row);
  return h(
    'li', null,
    h('div', null, h('a', {href: `#/requests/${encodeURIComponent(row.id)}`}, day(row.at)), ' ', foreign(row.job ?? row.model), h('span', {class: 'secondary muted'}, ' ', foreign(row.deployment ?? UNKNOWN))),
    h('div', null, h('span', {class: 'tone', 'data-tone': tone}, `${icon} ${word}`), ' ', duration(row.seconds)),
  );
}
