// All views, in the order of the navigation, each in a module of its own, which is loaded when the view is entered. It
// exports `make(context)`, which gives {node, update(state), leave(), key(key)}, all but the node optional; the node
// begins with an h1. *context* has `argument`, what stands behind the name in the hash, and `query` (URLSearchParams).
// The first view of a name that takes an argument, or does not, is entered.

export const VIEWS = [
  {name: 'now', title: 'Now', inNavigation: true, load: () => import('./views/now.js')},
  {name: 'requests', title: 'Requests', inNavigation: true, load: () => import('./views/requests.js')},
  {name: 'requests', title: 'Request', withArgument: true, load: () => import('./views/request.js')},
  {name: 'try', title: 'Try it', inNavigation: true, load: () => import('./views/try.js')},
  {name: 'costs', title: 'Costs', inNavigation: true, load: () => import('./views/costs.js')},
  {name: 'setup', title: 'Setup', inNavigation: true, load: () => import('./views/setup.js')},
  {name: 'log', title: 'Log', inNavigation: true, load: () => import('./views/log.js')},
  {name: 'what-if', title: 'What if', load: () => import('./views/whatif.js')},
  {name: 'kept', title: 'What was said', load: () => import('./views/kept.js')},
  {name: 'changes', title: 'Changes by hand', load: () => import('./views/changes.js')},
];
