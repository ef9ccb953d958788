// The drawing of one request: a lane for the client, one for each attempt, one axis of time. It is one picture; the same
// facts follow it as a list, which is what screen readers, tests and copies take.

import {s} from './dom.js';
import {duration} from './format.js';

const LANE = 52;
const BAR = 18;
const TOP = 26;
const LEAST = 3;
const SILENCE = 0.7;
const BROKEN = 0.35;

/** The parts of each lane: {name, hedge, lost, from, segments: [{from, to, kind}], marks: [{at, kind, text}]}. */
export function lanes(request) {
  const end = request.seconds;
  const client = {name: 'client', segments: [], marks: []};
  const first = Math.min(end, ...request.attempts.map((each) => Math.max(0, each.sent - each.waited)));
  client.segments.push({from: 0, to: first, kind: 'read'});
  const won = request.attempts.find((each) => each.won);
  const talks = request.first_token ?? (won && request.stream === false ? won.first_byte : null);
  client.segments.push({from: first, to: Math.min(end, talks ?? end), kind: 'quiet'});
  if (talks !== null && talks !== undefined) client.segments.push({from: talks, to: end, kind: 'talks'});
  for (const line of request.lines) {
    if (line.kind === 'cache') client.marks.push({at: line.at, kind: 'cache', text: '●'});
    if (['left', 'cut'].includes(line.kind)) client.marks.push({at: line.at, kind: 'failed', text: line.kind === 'left' ? '⊘ left' : '✕ cut'});
  }
  const refused = request.lines.filter((line) => line.kind === 'refused' && line.attempt < 0).map((line) => ({
    name: line.text.split(/[: ]/, 1)[0], at: line.at, segments: [], marks: [{at: line.at, kind: 'failed', text: '✕ not asked'}],
  }));
  const attempts = request.attempts.map((each, index) => attemptLane(request, each, index));
  return [client, ...[...refused, ...attempts].sort((one, other) => one.at - other.at)];
}

function attemptLane(request, attempt, index) {
  const lines = request.lines.filter((line) => line.attempt === index);
  const find = (kind) => lines.find((line) => line.kind === kind);
  const failed = find('failed');
  const cancelled = find('cancelled');
  const end = Math.max(attempt.sent, attempt.ended ?? failed?.at ?? request.seconds);
  const talks = attempt.won ? request.first_token : null;
  const sentence = attempt.won ? request.first_sentence : null;
  const head = attempt.first_byte ?? talks ?? end;
  const before = request.attempts.slice(0, index).filter((each) => each.provider === attempt.provider && each.model === attempt.model).length;
  const segments = [];
  if (attempt.waited > 0) segments.push({from: attempt.sent - attempt.waited, to: attempt.sent, kind: 'waits'});
  segments.push({from: attempt.sent, to: Math.min(head, talks ?? head), kind: 'asked'});
  if (head < (talks ?? end)) segments.push({from: head, to: talks ?? end, kind: request.stream || talks !== null ? 'thinks' : 'talks'});
  if (talks !== null && talks < end) segments.push({from: talks, to: end, kind: 'talks'});
  const marks = [];
  if (talks !== null) marks.push({at: talks, kind: 'token', text: 'first token'});
  if (sentence !== null && request.stream) marks.push({at: sentence, kind: 'sentence', text: 'first sentence'});
  if (failed) marks.push({at: end, kind: 'failed', text: `✕ ${attempt.status && attempt.status >= 400 ? attempt.status : short(failed.text)}`});
  if (cancelled) marks.push({at: end, kind: 'lost', text: '⊘ cancelled'});
  return {
    name: `${index + 1} ${attempt.provider}${before ? ', again' : ''}`, hedge: Boolean(find('hedge')), lost: Boolean(cancelled),
    failed: Boolean(failed), at: attempt.sent, segments, marks,
  };
}

function short(text) {
  return text.includes('token within') ? 'late' : text.includes('reached') ? 'no connection' : 'failed';
}

/** From seconds to pixels. One silence that takes most of the time is drawn shorter; *broken* tells where. */
export function axis(request, width) {
  const end = Math.max(request.seconds, ...request.attempts.map((each) => each.ended ?? 0), 0.001);
  const times = [0, end, ...request.lines.map((line) => line.at), ...request.attempts.flatMap((each) => [each.sent, each.first_byte ?? 0, each.ended ?? 0])];
  times.sort((one, other) => one - other);
  const talks = request.first_token ?? end;
  let gap = null;
  for (let index = 1; index < times.length; index += 1) {
    const [from, to] = [times[index - 1], times[index]];
    if (from < talks && to - from > SILENCE * end && times.length > 3) gap = {from, to};
  }
  const linear = (at) => (at / end) * width;
  if (!gap || gap.to - gap.from > 0.995 * end) return {x: linear, end, broken: null};
  const rest = end - (gap.to - gap.from);
  const scale = (width * (1 - BROKEN)) / rest;
  const x = (at) => {
    if (at <= gap.from) return at * scale;
    if (at < gap.to) return gap.from * scale + ((at - gap.from) / (gap.to - gap.from)) * width * BROKEN;
    return width * BROKEN + (at - (gap.to - gap.from)) * scale;
  };
  return {x, end, broken: gap};
}

/** The picture, *width* pixels wide. */
export function picture(request, width) {
  const found = lanes(request);
  const {x, end, broken} = axis(request, width - 2);
  const height = TOP + found.length * LANE + 4;
  const parts = [defs()];
  const digits = end < 0.1 ? 3 : end < 1 ? 2 : 1;
  for (const [at, anchor] of ticks(end, broken)) {
    parts.push(s('line', {class: 'grid', x1: x(at) + 1, x2: x(at) + 1, y1: 18, y2: height}));
    parts.push(s('text', {x: x(at) + 1, y: 13, 'text-anchor': anchor}, `${at.toFixed(digits)} s`));
  }
  if (broken) {
    const middle = Math.min(width - 110, Math.max(90, x((broken.from + broken.to) / 2)));
    parts.push(s('text', {class: 'break', x: middle, y: 13, 'text-anchor': 'middle'}, `≈ ${duration(broken.to - broken.from)}`));
  }
  found.forEach((lane, index) => parts.push(...drawLane(lane, TOP + index * LANE, x, width)));
  parts.push(...arrows(request, found, x));
  return s('svg', {class: 'timeline', role: 'img', 'aria-label': request.sentence, width, height, viewBox: `0 0 ${width} ${height}`}, parts);
}

function ticks(end, broken) {
  if (broken) return [[0, 'start'], [end, 'end']];
  return [[0, 'start'], [end / 2, 'middle'], [end, 'end']];
}

function defs() {
  return s(
    'defs', null,
    s('pattern', {id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)'}, s('rect', {class: 'hatch', width: 2, height: 6})),
    s('pattern', {id: 'dots', width: 6, height: 6, patternUnits: 'userSpaceOnUse'}, s('circle', {class: 'dots', cx: 3, cy: 3, r: 1.6})),
  );
}

function drawLane(lane, top, x, width) {
  const y = top + 22;
  const parts = [];
  const begin = lane.segments[0]?.from ?? lane.at ?? 0;
  const name = `${lane.hedge ? '◇ ' : ''}${lane.name}`;
  // Labels stand above the bar, never on it: the name first, marks behind it where they fit.
  let taken = placed(parts, name, Math.min(x(begin), width - 90), -10, top + 16, 'lane', width);
  const kind = [lane.hedge && 'hedge', lane.lost && 'lost', lane.failed && 'failed'].filter(Boolean).join(' ');
  for (const segment of lane.segments) {
    if (segment.to < segment.from) continue;
    const from = x(segment.from);
    const wide = Math.max(LEAST, x(segment.to) - from);
    parts.push(s('rect', {class: `phase ${segment.kind} ${kind}`, x: from + 1, y, width: Math.min(wide, width - from - 2), height: BAR}));
  }
  for (const mark of lane.marks) {
    const at = Math.min(x(mark.at), width - 2);
    parts.push(s('line', {class: `mark-line ${mark.kind}`, x1: at, x2: at, y1: y - 4, y2: y + BAR + 2}));
    taken = placed(parts, mark.text, at, taken, top + 16, mark.kind, width);
  }
  return parts;
}

/** Puts *text* at *at*, behind what ends at *taken*; where it has no place the list below tells it. Gives where it ends. */
function placed(parts, text, at, taken, y, kind, width) {
  // Signs are wider than letters.
  const wide = text.length * 7.2 + 4;
  const start = Math.max(taken + 10, Math.min(at, width - wide - 2));
  if (start + wide > width) return taken;
  parts.push(s('text', {class: kind, x: start + 1, y}, text));
  return start + wide;
}

/** From what failed to what was asked next. */
function arrows(request, found, x) {
  const parts = [];
  for (let index = 1; index < found.length - 1; index += 1) {
    const next = found[index + 1];
    if (!found[index].failed || next.hedge || !next.segments.length) continue;
    const end = found[index].segments.at(-1).to;
    const start = next.segments[0].from;
    const from = TOP + (index - 1 + 1) * LANE + 22 + BAR;
    const to = TOP + (index + 1) * LANE + 22;
    parts.push(s('path', {class: 'arrow', d: `M${x(end)},${from} C${x(end)},${from + 12} ${x(start)},${to - 14} ${x(start) + 1},${to - 2}`}));
  }
  return parts;
}
