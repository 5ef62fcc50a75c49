/**
 * Keys of settings and the patterns that describe them. A key is words with dots between them,
 * where "\." is a dot inside a word (a user called first.last is loopback_users.first\.last). In a
 * pattern "*" stands for any one word and a last "**" for any words, at least one.
 */

/** The words of a key, with escaped dots resolved. */
export function splitKey(key: string): string[] {
  return key.split(/(?<!\\)\./).map((word) => word.replaceAll("\\.", "."));
}

/**
 * The words that the stars stand for, in their order, or undefined when the pattern does not match.
 */
export function matchKey(pattern: string, words: readonly string[]): string[] | undefined {
  const parts = pattern.split(".");
  const open = parts.at(-1) === "**";
  if (open ? words.length < parts.length : words.length !== parts.length) return undefined;
  const stars: string[] = [];
  for (const [index, part] of parts.entries()) {
    const word = words[index] ?? "";
    if (part === "**") return [...stars, ...words.slice(index)];
    if (word === "" || (part !== "*" && part !== word)) return undefined;
    if (part === "*") stars.push(word);
  }
  return stars;
}

/**
 * The known key that the unknown one is most like, its own words standing where the pattern has
 * stars.
 */
export function nearestKey(key: string, patterns: readonly string[]): string {
  const words = splitKey(key);
  let best = "";
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const pattern of patterns) {
    const candidate = pattern
      .split(".")
      .map((part, index) => (part.startsWith("*") ? (words[index] ?? "NAME") : part))
      .join(".");
    const distance = editDistance(key, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/**
 * How many letters must be put in, taken out, replaced or swapped with their neighbour to get from
 * a to b.
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replace = (last[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let cost = Math.min((last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, replace);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
