// The page's words for what the server names by codes. Sentences come from the server: see telemetry/requests/reasons.py.

/** How a level looks: an icon, a word, a class. Colour never tells alone. */
export const LEVELS = {
  good: {icon: '✓', word: 'Well', tone: 'ok'},
  neutral: {icon: '○', word: 'Note', tone: 'muted'},
  warning: {icon: '!', word: 'Warning', tone: 'warn'},
  bad: {icon: '✕', word: 'Trouble', tone: 'bad'},
};

/** Likewise of a slot's health. */
export const TONES = {
  unused: 'muted', too_few: 'muted', reliable: 'ok', some_errors: 'warn', unreliable: 'bad', not_answering: 'bad',
  paused: 'muted', fine: 'ok', slow_to_start: 'warn', slow: 'warn', slow_background: 'muted', slower: 'warn',
};

const OUTCOMES = {
  ok: ['✓', 'Answered', 'ok'],
  client_error: ['!', 'Not understood', 'warn'],
  upstream_error: ['✕', 'Provider’s error', 'bad'],
  failed: ['✕', 'Failed', 'bad'],
  refused: ['✕', 'Refused', 'bad'],
  cancelled: ['⊘', 'The game left', 'muted'],
};

/** What came of a request: an icon, a word, a class. */
export function outcome(row) {
  if (row.outcome === null) return {icon: '…', word: 'Under way', tone: 'accent'};
  if (row.outcome === 'ok' && row.rescued) return {icon: '↻', word: 'Rescued', tone: 'ok'};
  const [icon, word, tone] = OUTCOMES[row.outcome] ?? ['?', row.outcome, 'muted'];
  return {icon, word, tone};
}

/** The classes that requests are filtered by, as the server names them. */
export const CLASSES = [
  ['all', 'All'], ['failed', 'Failed'], ['rescued', 'Rescued'], ['slow', 'Slow'], ['hedged', 'Hedged'],
  ['cached', 'Cached'], ['cancelled', 'Left'],
];

/** The marks in a slot's strip. */
export const MARKS = {
  ok: 'answered', rescued: 'rescued', failed: 'failed', left: 'left by the game, or not understood',
};

/** A deployment's state in the words of a player. */
export function breaker(found) {
  if (!found || found.state === 'closed') return null;
  return found.state === 'half_open' ? 'tried again now' : 'left alone';
}
