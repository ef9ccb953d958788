// The shell: the navigation, the sentence on top, one view, the footer.

import {isLoggedIn} from './api.js';
import {attribute, h, replace, write} from './dom.js';
import {zone} from './format.js';
import {head, sentences} from './head.js';
import {start as startLive} from './live.js';
import {listen, state} from './store.js';
import {start as startTheme, themeSwitch} from './theme.js';
import {VIEWS} from './views.js';
import {LEVELS} from './words.js';

const LIVE = {
  connecting: ['○', 'Connecting'], live: ['●', 'Live'], lost: ['✕', 'Lost'], stopped: ['✕', 'Stopped'],
  refused: ['✕', 'Refused'],
};

/** The icon tells how all is, too: by its form and its colour. */
const ICONS = {good: 'icon', neutral: 'icon', warning: 'icon-warning', bad: 'icon-bad'};
const ABSENT_MS = 1000;
const favicon = document.querySelector('link[rel=icon]');

startTheme();

const links = VIEWS.filter((view) => view.inNavigation).map((view) => [
  view, h('a', {href: `#/${view.name}`}, view.title),
]);
const live = h('span', {class: 'live', role: 'status'});
const top = head();
const main = h('main', {id: 'main'});
document.body.dataset.view = route().view.name;
document.querySelector('.late')?.remove();
const keysButton = h('button', {type: 'button', class: 'link'}, 'Keys');
document.body.append(
  h('a', {class: 'skip', href: '#main', on: {click: skip}}, 'To the view'),
  h(
    'header', {class: 'bar'}, h('a', {class: 'name', href: '#/now'}, 'skyproxy'),
    h('nav', {'aria-label': 'Views'}, h('ul', null, links.map(([, link]) => h('li', null, link)))), live,
  ),
  h('div', {class: 'body'}, top.node, main),
  h('footer', null, themeSwitch(), isLoggedIn() && h('button', {type: 'button', class: 'link', on: {click: async () => (await import('./login.js')).logOut()}}, 'Log out'), keysButton, h('a', {href: '#/changes'}, 'Changes'), h('a', {href: '#/kept'}, 'What was said'), h('a', {href: 'guide/player'}, 'Guides'), h('span', null, `Times: ${zone()}`)),
);

let current = null;
let shown = null;
let locked = false;

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const [name, ...rest] = path.split('/');
  let argument = rest.join('/');
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // It is taken as it stands.
  }
  const view = VIEWS.find((each) => each.name === name && Boolean(each.withArgument) === Boolean(argument));
  return {view: view ?? VIEWS[0], argument, query: new URLSearchParams(query ?? '')};
}

let entered = 0;
/** Whether the view that is entered is to be searched. */
let searches = false;

async function enter() {
  if (locked) return;
  const {view, argument, query} = route();
  // Views that were not loaded yet are gone with the version before.
  if (state.outdated) return location.reload();
  const number = (entered += 1);
  const make = await view.load().then((loaded) => loaded.make, () => () => absent(view));
  if (number !== entered || locked) return;
  current?.leave?.();
  shown = view;
  current = make({argument, query});
  document.body.dataset.view = view.name;
  attribute(document.body, 'data-big', view.name === 'now' && query.has('big'));
  replace(main, current.node);
  for (const [each, link] of links) {
    attribute(link, 'aria-current', each.name === view.name ? 'page' : null);
    // On a narrow screen it may be beyond the edge.
    if (each.name === view.name) link.scrollIntoView({block: 'nearest', inline: 'nearest'});
  }
  tell(state);
  // Who has just opened the page reads it from its beginning.
  if (number > 1) focus();
  if (searches) main.querySelector('input[type=search]')?.focus();
  searches = false;
}

/** In the place of a view that cannot be loaded, as while skyproxy is stopped: it is tried again. */
function absent({title}) {
  const timer = setInterval(() => state.live === 'live' && enter(), ABSENT_MS);
  const node = h('div', null, h('h1', null, title), h('p', {class: 'muted'}, 'This part of the page was not loaded yet, and cannot be now.'));
  return {node, leave: () => clearInterval(timer)};
}

function focus() {
  const title = main.querySelector('h1');
  if (title) {
    title.tabIndex = -1;
    title.focus({preventScroll: true});
  }
  scrollTo(0, 0);
}

function skip(event) {
  event.preventDefault();
  focus();
}

/** Shows nothing but a card that asks for the admin key. */
async function lock(why) {
  locked = true;
  current?.leave?.();
  current = null;
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  document.body.classList.add('locked');
  document.title = 'skyproxy';
  const {loginCard} = await import('./login.js');
  const card = loginCard(why);
  replace(main, card.node);
  card.focus();
}

function tell(state) {
  if (locked) return;
  if (state.live === 'refused' && state.refusedBy === 401) {
    lock(state.refusal);
    return;
  }
  top.update(state);
  const [icon, word] = LIVE[state.live];
  write(live, `${icon} ${word}`);
  live.dataset.live = state.live;
  document.body.classList.toggle('stale', !['live', 'connecting'].includes(state.live));
  const [first] = sentences(state);
  const sign = LEVELS[first.level].icon;
  const title = first.level === 'good' ? `${sign} skyproxy` : `${sign} ${first.text.replace(/\.$/, '')} – skyproxy`;
  if (document.title !== title) document.title = title;
  attribute(favicon, 'href', new URL(`${ICONS[first.level]}.svg`, import.meta.url).href);
  current?.update?.(state);
}

addEventListener('hashchange', enter);
enter();
listen(tell);
// Ages and countdowns go on where nothing new comes.
setInterval(() => !document.hidden && tell(state), matchMedia('(prefers-reduced-motion: reduce)').matches ? 1000 : 500);
startLive();
import('./first_run.js').then(({start}) => start(() => shown?.name));
import('./keys.js').then(({start}) => keysButton.addEventListener('click', start(onKey)));

/** Does what *key* is for; tells whether it is for anything. */
function onKey(key, event) {
  if (current?.key?.(key, event)) return true;
  const digit = Number(key);
  if (digit >= 1 && digit <= links.length) {
    location.hash = `#/${links[digit - 1][0].name}`;
    return true;
  }
  if (key === '/') {
    searches = true;
    location.hash = '#/requests';
    return true;
  }
  if (key === 'Escape' && shown?.withArgument) {
    // Before the first view there may be another site.
    if (entered > 1) history.back();
    else location.hash = state.listed;
    return true;
  }
  return false;
}
