/**
 * Topic patterns as a trie of words: `*` stands for exactly one word, `#` for any number of them.
 *
 *   bindings a.*.c, a.#, a       root ── a ─┬─ * ── c •
 *                                      •    └─ # •             • carries elements
 *
 * Matching runs the trie as a nondeterministic automaton: it keeps the set of nodes that can be
 * reached with the words read so far and advances all of them by one word at a time. A node is in
 * the set once, however many ways lead to it, so a key of w words costs at most w times the number
 * of nodes. Following every way by itself would be exponential for patterns like #.#.#.#. Once
 * nothing but final `#` is in the set, the rest of the key is not looked at.
 *
 * Words are split at dots; empty words count, and the empty key has no word at all, as in RabbitMQ.
 */

import { type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

class TrieNode<T> {
  readonly parent: TrieNode<T> | null;
  readonly word: string;
  /** A node for `#` swallows each word and stays. */
  readonly isAnyWords: boolean;
  children: Map<string, TrieNode<T>> | null = null;
  /** The children for `*` and `#`, which are never among the others. */
  anyWord: TrieNode<T> | null = null;
  anyWords: TrieNode<T> | null = null;
  elements: OneOrMany<T> | undefined = undefined;
  /** The last step of a match that reached this node. */
  reachedInStep = 0;

  constructor(parent: TrieNode<T> | null, word: string) {
    this.parent = parent;
    this.word = word;
    this.isAnyWords = word === "#";
  }
}

export class TopicTrie<T> {
  readonly #root = new TrieNode<T>(null, "");
  #step = 0;
  /**
   * The nodes that were reached before this step and, being filled, those that it reaches. Both are
   * overwritten from the start, so that a match allocates nothing.
   */
  #before: TrieNode<T>[] = [];
  #beforeCount = 0;
  #reached: TrieNode<T>[] = [];
  #reachedCount = 0;
  /** Whether only nodes were reached that stay reached whatever follows, and lead nowhere else. */
  #isSettled = true;

  add(pattern: string, element: T): void {
    let node = this.#root;
    for (const word of splitWords(pattern)) node = childFor(node, word);
    node.elements = withElement(node.elements, element);
  }

  remove(pattern: string, element: T): void {
    let node: TrieNode<T> | null | undefined = this.#root;
    for (const word of splitWords(pattern)) {
      node = existingChild(node, word);
      if (node == null) return;
    }
    node.elements = withoutElement(node.elements, element);
    prune(node);
  }

  /** Calls `visit` for each element of each matching pattern. */
  match(key: string, visit: (element: T) => void): void {
    this.#beginStep();
    this.#reach(this.#root);
    // Words are cut out only where one is looked up.
    for (let start = key === "" ? -1 : 0; start >= 0 && !this.#isSettled; ) {
      const dot = key.indexOf(".", start);
      this.#advance(key, start, dot < 0 ? key.length : dot);
      start = dot < 0 ? -1 : dot + 1;
    }
    for (let index = 0; index < this.#reachedCount; index++) {
      const { elements } = this.#reached[index]!;
      if (elements === undefined) continue;
      if (elements instanceof Set) for (const element of elements) visit(element);
      else visit(elements);
    }
  }

  /** Replaces the nodes that were reached by those that one word more reaches. */
  #advance(key: string, wordStart: number, wordEnd: number): void {
    this.#beginStep();
    let word: string | null = null;
    for (let index = 0; index < this.#beforeCount; index++) {
      const node = this.#before[index]!;
      if (node.children !== null) {
        word ??= key.slice(wordStart, wordEnd);
        const child = node.children.get(word);
        if (child !== undefined) this.#reach(child);
      }
      if (node.anyWord !== null) this.#reach(node.anyWord);
      if (node.isAnyWords) this.#reach(node);
    }
  }

  #beginStep(): void {
    const reached = this.#reached;
    this.#reached = this.#before;
    this.#before = reached;
    this.#beforeCount = this.#reachedCount;
    this.#reachedCount = 0;
    this.#step++;
    this.#isSettled = true;
  }

  /** Adds a node, and the chain of `#` below it, each of which may stand for no word. */
  #reach(start: TrieNode<T>): void {
    let node: TrieNode<T> | null = start;
    while (node !== null && node.reachedInStep !== this.#step) {
      node.reachedInStep = this.#step;
      this.#reached[this.#reachedCount++] = node;
      this.#isSettled &&=
        node.isAnyWords &&
        node.children === null &&
        node.anyWord === null &&
        node.anyWords === null;
      node = node.anyWords;
    }
  }

  /** Whether nothing is left but the root; for tests that look for forgotten nodes. */
  get isEmpty(): boolean {
    const { children, anyWord, anyWords, elements } = this.#root;
    return children === null && anyWord === null && anyWords === null && elements === undefined;
  }
}

/** Whether a word of the pattern is a wildcard. */
export function hasWildcard(pattern: string): boolean {
  return /(?:^|\.)[*#](?:\.|$)/.test(pattern);
}

function splitWords(key: string): string[] {
  return key === "" ? [] : key.split(".");
}

function existingChild<T>(node: TrieNode<T>, word: string): TrieNode<T> | null | undefined {
  if (word === "*") return node.anyWord;
  if (word === "#") return node.anyWords;
  return node.children?.get(word);
}

function childFor<T>(node: TrieNode<T>, word: string): TrieNode<T> {
  const existing = existingChild(node, word);
  if (existing != null) return existing;
  const child = new TrieNode(node, word);
  if (word === "*") {
    node.anyWord = child;
  } else if (word === "#") {
    node.anyWords = child;
  } else {
    node.children ??= new Map();
    node.children.set(word, child);
  }
  return child;
}

/** Removes the node, and its parents in turn, as long as nothing needs them. */
function prune<T>(leaf: TrieNode<T>): void {
  let node = leaf;
  while (node.parent !== null) {
    const { parent, word, children, anyWord, anyWords, elements } = node;
    if (children !== null || anyWord !== null || anyWords !== null || elements !== undefined) {
      return;
    }
    if (word === "*") {
      parent.anyWord = null;
    } else if (word === "#") {
      parent.anyWords = null;
    } else if (parent.children !== null) {
      parent.children.delete(word);
      if (parent.children.size === 0) parent.children = null;
    }
    node = parent;
  }
}
