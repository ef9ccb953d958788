// The admin key: a card that asks for it where skyproxy wants it, and nothing else.

import {address, rememberLogin} from './api.js';
import {h, isResting, rest, show, write} from './dom.js';

/** Asks for the key. *why* is what skyproxy says. */
export function loginCard(why) {
  const key = h('input', {type: 'password', autocomplete: 'current-password', required: true, spellcheck: 'false'});
  // For password managers.
  const user = h('input', {type: 'text', autocomplete: 'username', value: 'admin', hidden: true});
  const wrong = h('p', {role: 'alert', class: 'tone', 'data-tone': 'bad'});
  const open = h('button', {type: 'submit'}, 'Open');
  const form = h(
    'form', {class: 'card login', on: {submit}}, h('h1', null, 'Type the admin key'),
    h('p', null, why), h('p', {class: 'secondary muted'}, 'On the computer that skyproxy runs on, ', h('code', null, 'skyproxy keys create --admin'), ' makes one.'), user, h('label', null, 'Admin key ', key), open, wrong,
  );
  show(wrong, false);

  async function submit(event) {
    event.preventDefault();
    if (isResting(open)) return;
    rest(open, true);
    try {
      await sent('api/login', {key: key.value.trim()});
      rememberLogin('yes');
      location.reload();
    } catch (error) {
      write(wrong, error.message);
      show(wrong, true);
      rest(open, false);
      key.select();
    }
  }

  return {node: form, focus: () => key.focus()};
}

/** Forgets that somebody has. */
export async function logOut() {
  await sent('api/logout', {});
  rememberLogin('');
  location.reload();
}

async function sent(path, value) {
  let response;
  try {
    response = await fetch(address(path), {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(value), cache: 'no-store',
    });
  } catch {
    throw new Error('skyproxy cannot be reached.');
  }
  if (response.ok) return;
  const said = await response.json().catch(() => null);
  throw new Error(said?.error?.message ?? `skyproxy says ${response.status}.`);
}
