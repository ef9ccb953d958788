// What one request and its answer said, and the same asked again.

import {address, get} from './api.js';
import {ask, saidIn} from './answers.js';
import {compared} from './compared.js';
import {button, copyButton, foreign, h, replace, rest, show, write} from './dom.js';
import {duration} from './format.js';
import {state} from './store.js';

const LONGEST_SHOWN = 100_000;

/** A part of the page that is filled when it is unfolded. *which* gives {id, number} of the request. */
export function bodies(which) {
  const inside = h('div', {class: 'bodies'});
  const node = h('details', {class: 'said-before', on: {toggle: () => node.open && load()}}, h('summary', null, 'What was said'), inside);
  let asking = null;
  let loaded = false;

  async function load() {
    if (loaded) return;
    loaded = true;
    const {id, number} = which();
    try {
      const found = await get(`api/bodies/${encodeURIComponent(id)}`, {number});
      if (found.why) replace(inside, h('p', {class: 'muted'}, found.why), found.record_bodies === 'off' && howTo());
      else draw(found);
    } catch (error) {
      loaded = false;
      replace(inside, h('p', {class: 'tone', 'data-tone': 'bad'}, foreign(error.message)), button('Try again', load));
    }
  }

  function draw({request, answer, endpoint}) {
    const said = answer.text === null ? '' : saidIn(answer.text);
    replace(
      inside,
      h('div', {class: 'columns'}, part('The request', pretty(request.text), request), part('The answer', said, answer, answer.text)),
      request.text !== null && h('div', {class: 'actions'}, copyButton('Copy curl', () => curl(endpoint, request.text)), download('Download the request', request.text, 'request.json'), answer.text !== null && download('Download the answer', answer.text, 'answer.txt')),
      askedAgain(request, endpoint, said),
    );
  }

  /** The request once more, to any slot, beside what was answered then. */
  function askedAgain(request, endpoint, before) {
    const fields = parsed(request.text);
    const why = request.cut ? 'only its beginning is kept' : endpoint !== '/chat/completions' ? 'it was no chat' : fields ? '' : 'it is no JSON';
    if (why) return h('p', {class: 'secondary muted'}, `It cannot be asked again from here: ${why}.`);
    const slots = (state.now?.slots ?? []).map((slot) => [slot.name, slot.job === slot.name ? slot.name : `${slot.job} (${slot.name})`]);
    if (!slots.some(([name]) => name === fields.model)) slots.unshift([String(fields.model), String(fields.model)]);
    const select = h('select', {'aria-label': 'Slot to ask again'}, slots.map(([name, shown]) => h('option', {value: name}, shown)));
    select.value = String(fields.model);
    const go = button('Ask again', run);
    const result = h('div', {role: 'group', 'aria-label': 'The new answer'});
    const text = h('bdi', {class: 'said'});
    const told = h('p', {class: 'secondary'});
    show(result, false);

    async function run() {
      rest(go, true);
      replace(result, h('h3', null, 'The new answer'), text, told);
      write(text, '');
      show(result, true);
      asking = new AbortController();
      const model = select.value;
      const answer = await ask(model, '', {signal: asking.signal, heard: (now) => write(text, now.text), fields: {stream: false, ...fields, model}});
      rest(go, false);
      replace(
        told, answer.error && h('span', {class: 'tone', 'data-tone': 'bad'}, '✕ ', foreign(answer.error), ' '),
        `First token ${duration(answer.firstToken)}, first sentence ${duration(answer.firstSentence)}, total ${duration(answer.total)}. `,
        answer.id && h('a', {href: `#/requests/${encodeURIComponent(answer.id)}`}, 'All steps of it'),
      );
      if (answer.text && before) result.append(h('h3', null, 'Where they differ'), h('div', null, compared([before, answer.text], ['then', 'now'])));
    }
    return h('div', null, h('div', {class: 'tools'}, select, go, h('span', {class: 'secondary muted'}, 'This costs what any request costs.')), result);
  }

  /** Looks again: the request is over by now. */
  function again() {
    loaded = false;
    if (node.open) load();
  }

  return {node, again, leave: () => asking?.abort()};
}

function howTo() {
  return h('p', {class: 'secondary muted'}, 'With ', h('code', null, 'record_bodies: errors'), ' under ', h('code', null, 'proxy:'), ' in the configuration those of requests that fail are kept on this machine, for a day.');
}

function part(title, text, {note, text: kept}, raw) {
  const shown = text.slice(0, LONGEST_SHOWN);
  return h(
    'section', {'aria-label': title}, h('h3', null, title), note && h('p', {class: 'secondary muted'}, note),
    kept !== null && h('pre', {class: 'body', tabindex: '0', 'aria-label': title}, foreign(shown)),
    shown.length < text.length && h('p', {class: 'secondary muted'}, 'The rest is in the download.'),
    raw && raw !== text && h('details', null, h('summary', null, 'As it came'), h('pre', {class: 'body', tabindex: '0', 'aria-label': `${title} as it came`}, foreign(raw.slice(0, LONGEST_SHOWN)))),
  );
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function pretty(text) {
  const value = parsed(text);
  return value ? JSON.stringify(value, null, 2) : text ?? '';
}

function curl(endpoint, text) {
  const quoted = text.replaceAll("'", "'\\''");
  return `curl ${address(`v1${endpoint}`)} -H 'Content-Type: application/json' -d '${quoted}'`;
}

function download(label, text, name) {
  return button(label, () => {
    const url = URL.createObjectURL(new Blob([text], {type: 'text/plain'}));
    h('a', {href: url, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
}
