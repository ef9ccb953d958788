// The words in which two texts differ.

/** The most words of a text that are compared: the work grows with their square. */
export const MOST_WORDS = 600;

/** [kind, text] in their order; kind: 'both', 'first' or 'second'. */
export function difference(first, second) {
  const [one, two] = [first, second].map((text) => text.split(/\s+/).filter(Boolean).slice(0, MOST_WORDS));
  const width = two.length + 1;
  // The length of the longest common part of what begins at each pair of words.
  const common = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = two.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = one[i] === two[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const parts = [];
  const add = (kind, word) => {
    if (parts.at(-1)?.[0] === kind) parts.at(-1)[1].push(word);
    else parts.push([kind, [word]]);
  };
  let [i, j] = [0, 0];
  while (i < one.length || j < two.length) {
    if (i < one.length && j < two.length && one[i] === two[j]) {
      add('both', one[i]);
      i += 1;
      j += 1;
    } else if (j === two.length || (i < one.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      add('first', one[i]);
      i += 1;
    } else {
      add('second', two[j]);
      j += 1;
    }
  }
  return parts.map(([kind, words]) => [kind, words.join(' ')]);
}
