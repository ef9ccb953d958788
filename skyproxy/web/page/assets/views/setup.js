// What is configured, what is missing, and what to type into SkyrimNet.

import {apiUrl, get, post} from '../api.js';
import {ask, keptRequest} from '../answers.js';
import {button, copyButton, foreign, h, ours, replace, rest, show} from '../dom.js';
import {count, counted, duration, money} from '../format.js';
import {reading, state} from '../store.js';

const RESULTS = {
  good: ['✓', 'ok'], answers: ['✓', 'ok'], refused: ['✕', 'bad'], 'no answer': ['✕', 'bad'], missing: ['✕', 'bad'],
  'not tested': ['○', 'muted'],
};
const GUIDES = [
  ['player', 'For players', 'from the installation to the first word, and what to do when a character is silent'],
  ['operator', 'For operators', 'everything that can be configured, watched and changed'],
  ['reference', 'Reference', 'every option, its type and its default'],
  ['contributor', 'For contributors', 'how skyproxy is built'],
];
const ENDPOINT = '/chat/completions';

export function make() {
  const body = h('div', null, h('p', {class: 'muted'}, 'Looking…'));
  const node = h('div', null, h('h1', null, 'Setup'), body);
  const leaving = new AbortController();
  let known = reading(state);
  let loads = 0;
  load();

  async function load() {
    const number = (loads += 1);
    let setup;
    try {
      setup = await get('api/setup', null, leaving.signal);
    } catch (error) {
      if (error.name !== 'AbortError' && number === loads) replace(body, h('p', null, foreign(error.message), ' '), button('Try again', load));
      return;
    }
    if (number !== loads) return;
    const focused = body.contains(document.activeElement) && document.activeElement.getAttribute('aria-label');
    replace(
      body, configuration(setup), section('providers', '1. Providers', providers(setup, leaving.signal)),
      section('local', 'On this computer', local(leaving.signal)),
      section('slots', '2. Slots', slots(setup, leaving.signal)),
      section('skyrimnet', '3. SkyrimNet', skyrimnet(setup)),
      section('guides', 'Guides', guides()),
    );
    if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus({preventScroll: true});
  }

  /** Looks again where the configuration was read again. */
  function update(state) {
    const before = known;
    known = reading(state);
    if (before && before !== known) load();
  }

  return {node, update, leave: () => leaving.abort()};
}

function section(id, title, ...kids) {
  return h('section', {'aria-labelledby': `setup-${id}`}, h('h2', {id: `setup-${id}`}, title), kids);
}

function note(sign, tone, text) {
  return h('li', null, h('span', {class: 'tone', 'data-tone': tone, 'aria-hidden': 'true'}, sign), foreign(text));
}

/** A text to type elsewhere. */
function paste(text, label = 'Copy', block = false) {
  const shown = h(block ? 'pre' : 'code', {class: block ? 'paste-text' : null}, foreign(text));
  const copying = copyButton(label, () => text, () => shown);
  copying.setAttribute('aria-label', `${label} ${text.length > 60 ? 'this text' : text}`);
  return h('div', {class: 'paste'}, shown, copying);
}

function configuration(setup) {
  const from = setup.demo
    ? setup.problems.length
      ? h('p', null, 'The built-in demo answers until the configuration can be used.')
      : [h('p', null, 'There is no configuration yet: the built-in demo answers. Type this into a terminal:'), paste('skyproxy init')]
    : h('p', {class: 'muted'}, 'Configuration: ', foreign(setup.configuration), setup.env_file && ['; keys: ', foreign(setup.env_file)]);
  return [
    from,
    setup.problems.length > 0 && section(
      'problems', 'The new configuration cannot be used; the old one serves on',
      h('ul', {class: 'notes'}, setup.problems.map((each) => note('✕', 'bad', each))),
    ),
    setup.warnings.length > 0 && section(
      'warnings', 'Look at this', h('ul', {class: 'notes'}, setup.warnings.map((each) => note('!', 'warn', each))),
    ),
  ];
}

function keyLine(key, setup) {
  if (key.found) {
    return note('✓', 'ok', `${key.variable} is set in ${key.place === 'environment' ? 'the environment' : key.place}.`);
  }
  return note('✕', 'bad', `${key.variable} is missing: put it into ${setup.env_file ?? '.env'}.`);
}

function providers(setup, signal) {
  const rows = setup.providers.map((provider) => {
    const result = h('div', {class: 'result wide'});
    const test = button('Test', async () => {
      rest(test, true);
      replace(result, h('p', {class: 'muted'}, 'Asking it, which costs nothing…'));
      try {
        const told = await post(`api/test/${encodeURIComponent(provider.name)}`, null, signal);
        const refused = told.reports.filter((each) => each.result === 'refused');
        replace(result, told.reports.map(report), refused.length > 0 && otherKey(provider, refused, setup), told.models !== null && h('p', {class: 'muted'}, `It lists ${counted(told.models, 'model', 'models')}.`),
          told.problems.map((each) => line('✕', 'bad', each)));
      } catch (error) {
        if (error.name !== 'AbortError') replace(result, line('✕', 'bad', error.message));
      }
      rest(test, false);
    }, {'aria-label': `Test ${provider.name}`});
    const keys = provider.keys.length
      ? h('ul', {class: 'notes'}, provider.keys.map((key) => keyLine(key, setup)))
      : h('p', {class: 'secondary muted'}, 'It wants no key.');
    const missing = provider.keys.length > 0 && !provider.keys.some((key) => key.found);
    return h(
      'li', null,
      h('div', null, h('h3', null, foreign(provider.name)), h('p', {class: 'secondary muted'}, foreign(provider.base_url), !provider.needed && ' – no slot uses it')),
      h('div', {class: 'actions'}, test),
      h('div', {class: 'wide secondary'}, keys, missing && provider.key_page && h('p', null, 'Keys are made at ', foreign(provider.key_page))),
      result,
    );
  });
  return h('ul', {class: 'rows'}, rows);
}

/** What to do about keys that the provider refuses. */
function otherKey(provider, reports, setup) {
  const isThere = (key) => key.place === 'environment' && reports.some((each) => each.variable === key.variable);
  const where = provider.keys.some(isThere)
    ? ['Set another one in the environment, and start skyproxy anew.']
    : ['Put another one into ', foreign(setup.env_file ?? '.env'), ', and type ', h('code', null, 'skyproxy reload'), '.'];
  return h('p', null, where, provider.key_page && [' Keys are made at ', foreign(provider.key_page), '.']);
}

function line(sign, tone, text) {
  return h('p', null, h('span', {class: 'tone', 'data-tone': tone, 'aria-hidden': 'true'}, sign), foreign(text));
}

function report(each) {
  const [sign, tone] = RESULTS[each.result] ?? ['?', 'muted'];
  const name = each.variable ? `${each.variable}: ` : '';
  return line(sign, tone, `${name}${each.result}${each.text ? ` (${each.text})` : ''}`);
}

function local(signal) {
  const found = h('div');
  const look = button('Look again', looking);

  async function looking() {
    rest(look, true);
    replace(found, h('p', {class: 'muted'}, 'Looking…'));
    try {
      const told = await post('api/local', null, signal);
      const none = h('p', {class: 'muted'}, `None of ${told.looked_for.join(', ')} answers.`);
      replace(found, told.servers.length ? h('ul', {class: 'rows'}, told.servers.map(server)) : none);
    } catch (error) {
      if (error.name !== 'AbortError') replace(found, line('✕', 'bad', error.message));
    }
    rest(look, false);
  }

  looking();
  return [found, h('p', {class: 'actions'}, look)];
}

function server(each) {
  const some = each.models.slice(0, 5).join(', ');
  const more = each.count > 5 ? ` and ${count(each.count - 5)} more` : '';
  const yaml = `providers:\n  ${each.name}:\n    base_url: ${each.base_url}`;
  return h(
    'li', null,
    h(
      'div', null, h('h3', null, h('span', {class: 'tone', 'data-tone': 'ok', 'aria-hidden': 'true'}, '✓ '), each.title),
      h('p', {class: 'secondary muted'}, foreign(each.base_url), `, ${counted(each.count, 'model', 'models')}`, some && [': ', foreign(some + more)]),
    ),
    h('div', {class: 'wide'}, each.provider
      ? h('p', {class: 'secondary'}, 'It is the provider ', foreign(each.provider), '.')
      : [h('p', {class: 'secondary'}, 'It is not in the configuration yet. Write:'), paste(yaml, 'Copy', true)]),
  );
}

function slots(setup, signal) {
  if (!setup.slots.length) return h('p', {class: 'muted'}, 'There is none: clients ask for provider:model.');
  return h('ul', {class: 'rows'}, setup.slots.map((slot) => slotRow(slot, signal)));
}

function slotRow(slot, signal) {
  const result = h('div', {class: 'result wide'});
  const price = slot.price ? ` (about ${money((slot.price.prompt * 20 + slot.price.completion) / 1e6, slot.price.currency)})` : '';
  const free = slot.price && slot.price.prompt === 0 && slot.price.completion === 0;
  const label = free ? 'Test by one token (free)' : `Test by one token${price}`;
  const test = button(label, async () => {
    rest(test, true);
    replace(result, h('p', {class: 'muted'}, 'Asking…'));
    const answer = await ask(slot.name, 'Say: yes', {signal, heard() {}, fields: {max_tokens: 1}});
    const mute = answer.status === 200 && !answer.text && answer.error.startsWith('The answer is empty');
    const row = answer.error && !mute && answer.id ? await keptRequest(answer.id) : null;
    if (!signal.aborted) {
      replace(result, answer.error && !mute
        ? [line('✕', 'bad', answer.error), [row?.sentence, row?.advice].map((each) => each && each !== answer.error && h('p', {class: 'muted'}, foreign(each)))]
        : line('✓', 'ok', mute ? 'It answers; one token held no text.' : `It answers: first token after ${duration(answer.firstToken)}.`));
    }
    rest(test, false);
  }, {'aria-label': `${label}: ${slot.name}`});
  const [first, ...others] = slot.candidates;
  return h(
    'li', null,
    h(
      'div', null, h('h3', null, ours(slot.job === slot.name ? slot.name : `${slot.job} (${slot.name})`)),
      h('p', {class: 'secondary muted'}, ours(first), others.length > 0 && [', then ', ours(others.join(', '))]),
    ),
    h('div', {class: 'actions many'}, h('a', {class: 'button', href: `#/try?slot=${encodeURIComponent(slot.name)}`, 'aria-label': `Try ${slot.name}`}, 'Try it'), test),
    result,
  );
}

function guides() {
  return h('ul', {class: 'notes'}, GUIDES.map(([name, title, about]) => h('li', null, h('span', null, h('a', {href: `guide/${name}`}, title), `: ${about}`))));
}

function skyrimnet(setup) {
  const values = setup.slots.map((slot) => h(
    'li', null, h('div', null, h('h3', null, foreign(slot.job))), h('div', {class: 'actions'}, paste(slot.name)),
  ));
  const unserved = h('p', {class: 'tone', 'data-tone': 'warn'}, `! SkyrimNet also asks for ${setup.unserved.join(', ')}: such requests are refused. Add these slots, or write proxy: {fallback_to_default: true}.`);
  show(unserved, setup.unserved.length > 0);
  return [
    h('p', {class: 'muted'}, 'While the game runs, SkyrimNet’s own page is at localhost:8080: look there under Config.'),
    h('h3', null, 'Endpoint'), paste(`${apiUrl(setup.url)}${ENDPOINT}`),
    h('h3', null, 'Key'), setup.needs_key
      ? h('p', {class: 'secondary muted'}, 'That of a client, which ', h('code', null, 'skyproxy keys create NAME'), ' shows once.')
      : [h('p', {class: 'secondary muted'}, 'Any text: SkyrimNet wants one, skyproxy does not look at it.'), paste('skyproxy')],
    h('h3', null, 'Model of each job'), h('ul', {class: 'rows'}, values), unserved,
  ];
}
