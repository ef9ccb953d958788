// What people have changed by hand: what holds now, and the last actions, with who did them and when.

import {DONE, keep as keepIt, reload, undo} from '../acting.js';
import {get} from '../api.js';
import {button, h, keep, ours, show, write} from '../dom.js';
import {counted, day} from '../format.js';

const REFRESH_MS = 10000;

export function make() {
  const holds = h('ul', {class: 'rows'});
  const none = h('p', {class: 'muted'});
  const done = h('ul', {class: 'rows'});
  const nothing = h('p', {class: 'muted'}, 'Nothing was done since the start.');
  const problem = h('p', {class: 'tone', 'data-tone': 'bad', role: 'alert'});
  const node = h(
    'div', null, h('h1', null, 'Changes by hand'),
    h('p', {class: 'muted'}, 'They last until skyproxy ends, unless they are kept in the file.'),
    h('p', {class: 'actions'}, button('Read the configuration again…', reload)), problem,
    h('section', {'aria-labelledby': 'changes-hold'}, h('h2', {id: 'changes-hold'}, 'What holds now'), none, holds),
    h('section', {'aria-labelledby': 'changes-done'}, h('h2', {id: 'changes-done'}, 'What was done'), nothing, done),
  );
  let askedAt = 0;
  let gone = false;
  let known = '';
  show(problem, false);
  show(nothing, false);

  async function load() {
    askedAt = performance.now();
    try {
      const found = await get('api/changes');
      if (gone) return;
      show(problem, false);
      const texts = new Map(found.actions.map((each) => [each.id, each]));
      const held = found.changes.map((each) => ({...texts.get(each.action), ...each, id: each.action}));
      keep(holds, held, (each) => each.id, change);
      write(none, held.length ? `${counted(held.length, 'change', 'changes')}${found.profile ? ` (profile ${found.profile} is in use)` : ''}` : 'Nothing: all is as the configuration says.');
      keep(done, found.actions, (each) => each.id, action);
      show(nothing, !found.actions.length);
    } catch (error) {
      if (gone) return;
      write(problem, `${error.message} What is shown may be old.`);
      show(problem, true);
    }
  }

  function update(state) {
    const fresh = JSON.stringify([state.now?.change_ids, state.live]);
    if (state.live === 'live' && (fresh !== known || performance.now() - askedAt > REFRESH_MS) && !document.hidden) {
      known = fresh;
      load();
    }
  }
  addEventListener(DONE, load);
  load();
  return {
    node,
    update,
    leave() {
      gone = true;
      removeEventListener(DONE, load);
    },
  };
}

/** One that holds. */
function change(first) {
  const text = h('h3');
  const who = h('p', {class: 'secondary muted'});
  const settings = h('p', {class: 'secondary'});
  const undoing = button('Undo…', () => undo(first.id));
  const keeping = button('Keep in the file…', () => keepIt(first.id));
  const node = h('li', null, h('div', null, text, who, settings), h('div', {class: 'actions many'}, undoing, keeping));
  return {
    node,
    update(each) {
      const about = each.text ?? `${each.kind} ${Object.values(each.target).join(' ')}`;
      write(text, about);
      write(who, `By ${each.by}, ${day(each.since)}`);
      const values = each.settings.map(({path, value, configured}) => `${path}: ${value}${configured === null ? '' : ` (the file says ${configured})`}`);
      write(settings, values.join(' · '));
      show(settings, values.length > 0);
      show(undoing, each.can_be_undone !== false);
      show(keeping, Boolean(each.can_be_kept));
      undoing.setAttribute('aria-label', `Undo: ${about}`);
      keeping.setAttribute('aria-label', `Keep in the file: ${about}`);
    },
  };
}

/** One that was done. */
function action(first) {
  const undoing = button('Undo…', () => undo(first.id), {'aria-label': `Undo: ${first.text}`});
  const node = h('li', null, h('div', null, h('p', null, ours(first.text)), h('p', {class: 'secondary muted'}, `By ${first.by}, ${day(first.at)}`)), h('div', {class: 'actions many'}, undoing));
  return {node, update: (each) => show(undoing, each.can_be_undone)};
}
