// What people have done by a button: first it is told what that comes to, then it is done, then how it is undone and
// kept. The server's words are shown, and nothing is assumed: what is refused, or not known to be done, says so.

import {post} from './api.js';
import {button, copyButton, foreign, h, ours, replace, show, write} from './dom.js';

/** Dispatched at the window when something was done. */
export const DONE = 'skyproxy-done';

/**
 * Asks whether something shall be done, and has it done.
 * @param title what it is about
 * @param label what the button says
 * @param path of the API
 * @param value what is sent
 * @param fields [{name, label, value, hint, list, type}]: what is asked for before
 * @param sentOf (texts by the names of fields) => what is sent; it throws an Error where that makes no sense
 */
export function propose({title, label, path, value = {}, fields = [], sentOf = null}) {
  const dialog = frame(title);
  const inputs = fields.map(field);
  const proposed = h('p');
  let sent = value;
  let asked = 0;
  const go = button(label, perform, {class: 'main'});
  const form = h(
    'form', {class: 'asked', on: {submit: look}}, inputs.map((each) => each.node), h('p', null, h('button', {type: 'submit'}, 'What would that do?')),
  );
  dialog.add(fields.length > 0 && form, proposed);
  dialog.actions(fields.length ? [] : [go]);
  for (const each of inputs) each.node.addEventListener('input', forget);
  if (fields.length) inputs[0].node.querySelector('input').focus();
  else look();

  function forget() {
    asked += 1;
    write(proposed, '');
    dialog.actions([]);
  }

  async function look(event) {
    event?.preventDefault();
    try {
      if (sentOf) sent = sentOf(Object.fromEntries(inputs.map((each) => [each.name, each.value()])));
    } catch (error) {
      dialog.refused(error);
      return;
    }
    const mine = (asked += 1);
    const told = await dialog.run(() => post(path, {...sent, dry_run: true}));
    // Something else was typed meanwhile.
    if (mine !== asked) return;
    if (!told) {
      if (!fields.length) dialog.actions([]);
      return;
    }
    replace(proposed, ours(told.text));
    if (told.id === null) write(proposed, `${told.text} There is nothing to do.`);
    dialog.actions(told.id === null ? [] : [go]);
    if (told.id !== null) go.focus();
  }

  async function perform() {
    const told = await dialog.run(() => post(path, sent), true);
    if (told) dialog.done(told);
  }
}

/** Has the action *id* undone, once that is wanted. */
export function undo(id) {
  propose({title: 'Undo', label: 'Undo it', path: `api/undo/${encodeURIComponent(id)}`});
}

/** Shows the lines that would be written into the file for the action *id*, and has them written. */
export async function keep(id, dialog = frame('Keep it in the file')) {
  const path = `api/keep/${encodeURIComponent(id)}`;
  const told = await dialog.run(() => post(path, {dry_run: true}));
  if (!told) {
    dialog.actions([]);
    return;
  }
  const write = button('Write it', async () => {
    const kept = await dialog.run(() => post(path, {}), true);
    if (kept) dialog.done(kept);
  }, {class: 'main'});
  dialog.add(h('p', null, 'These lines of ', foreign(told.file), ' become others:'), lines(told.diff.slice(2)));
  dialog.actions([write]);
  write.focus();
}

/** Has the configuration read again. */
export function reload() {
  const dialog = frame('Read the configuration again');
  const read = button('Read it', async () => {
    const told = await dialog.run(() => post('api/reload'), true);
    if (!told) return;
    const changed = Object.entries(told.changed).flatMap(([what, some]) => (what === 'changes' ? some : [`${what.replaceAll('_', ' ')}: ${some.join(', ')}`]));
    dialog.add(h('p', null, changed.length ? 'It was read again. This is different:' : 'It was read again. Nothing is different.'), h('ul', {class: 'notes'}, changed.map((each) => h('li', null, foreign(each)))));
    dialog.actions([]);
  }, {class: 'main'});
  dialog.add(h('p', null, 'Requests under way keep what they have. If the file is wrong, all stays as it is.'));
  dialog.actions([read]);
  read.focus();
}

function field({name, label, value = '', hint = '', list = [], type = 'text'}) {
  const id = `asked-${name}`;
  const input = h('input', {
    id, type, value, autocomplete: 'off', spellcheck: 'false', list: list.length ? `${id}-list` : null, 'aria-describedby': hint ? `${id}-hint` : null,
    min: type === 'number' ? 1 : null,
  });
  const node = h(
    'div', {class: 'field'}, h('label', {for: id}, label), input, hint && h('p', {id: `${id}-hint`, class: 'secondary muted'}, hint),
    list.length > 0 && h('datalist', {id: `${id}-list`}, list.map((each) => h('option', {value: each}))),
  );
  return {node, name, value: () => input.value.trim()};
}

/** Lines of a file, those that go and those that come apart by their signs. */
function lines(texts) {
  const shown = texts.filter((text) => !text.startsWith('@@'));
  return h('pre', {class: 'paste-text', tabindex: '0'}, shown.map((text) => [h(text.startsWith('-') ? 'del' : text.startsWith('+') ? 'ins' : 'span', null, foreign(text)), '\n']));
}

/** A dialog: {add, actions, run, refused, done}. */
function frame(title) {
  const body = h('div', {class: 'asked'});
  const problem = h('div', {role: 'alert', class: 'trouble'});
  const status = h('div', {role: 'status'});
  const bar = h('div', {class: 'actions'});
  const close = button('Close', () => node.close());
  const node = h('dialog', {class: 'acting', 'aria-labelledby': 'acting-title'}, h('h2', {id: 'acting-title'}, foreign(title)), body, status, problem, h('div', {class: 'actions'}, bar, close));
  // Whoever opened it gets the focus back, which browsers see to before they tell of the end.
  node.addEventListener('close', () => node.remove());
  show(problem, false);
  document.querySelector('dialog.acting')?.close();
  document.body.append(node);
  node.showModal();

  const self = {
    add(...kids) {
      replace(body, kids);
      replace(status);
    },
    actions(some) {
      replace(bar, some);
      show(bar, some.length > 0);
      // Escape closes it as well, but nothing else must be in want of the focus.
      if (!node.contains(document.activeElement)) close.focus();
    },
    refused(error, unknown = false) {
      const {lines: missing, problems = [], error: {message} = {}} = error.value ?? {};
      const words = problems.length ? 'The configuration cannot be used; all stays as it is.' : message ?? error.message;
      replace(
        problem, h('p', null, h('span', {class: 'tone', 'data-tone': 'bad', 'aria-hidden': 'true'}, '✕ '), ours(words)),
        problems.length > 0 && h('ul', {class: 'notes'}, problems.map((each) => h('li', null, foreign(each)))),
        error.status === 0 && unknown && h('p', null, 'Whether it was done is not known: ', h('a', {href: '#/changes', on: {click: () => node.close()}}, 'the list of changes'), ' tells.'),
        missing?.length > 0 && [h('p', null, 'Copy these lines into the file:'), copied(missing.join('\n'))],
      );
      show(problem, true);
    },
    /** What *ask* comes to; null: it was refused, which is shown. Buttons rest meanwhile. */
    async run(ask, changes = false) {
      show(problem, false);
      const buttons = [...node.querySelectorAll('button')].filter((each) => each !== close);
      const focused = document.activeElement;
      for (const each of buttons) each.disabled = true;
      try {
        return await ask();
      } catch (error) {
        if (error.status === undefined) throw error;
        self.refused(error, changes);
        return null;
      } finally {
        for (const each of buttons) each.disabled = false;
        if (!node.contains(document.activeElement) && node.contains(focused)) focused.focus();
        if (changes) dispatchEvent(new Event(DONE));
      }
    },
    done(told) {
      replace(body);
      const lasts = told.can_be_undone || told.can_be_kept;
      const nothing = told.id === null;
      replace(
        status, h('p', null, h('span', {class: 'tone', 'data-tone': 'ok', 'aria-hidden': 'true'}, '✓ '), nothing ? 'Nothing had to be done: ' : lasts ? 'Done, until skyproxy ends: ' : 'Done: ', ours(told.text)),
      );
      self.actions([
        told.can_be_undone && button('Undo', async () => {
          const undone = await self.run(() => post(`api/undo/${encodeURIComponent(told.id)}`), true);
          if (undone) self.done({...undone, can_be_undone: false, can_be_kept: false});
        }),
        told.can_be_kept && button('Keep in the file…', () => keep(told.id, self)),
      ].filter(Boolean));
      close.focus();
    },
  };
  return self;
}

function copied(text) {
  const shown = h('pre', {class: 'paste-text', tabindex: '0'}, foreign(text));
  return h('div', {class: 'paste'}, shown, copyButton('Copy the lines', () => text, () => shown));
}
