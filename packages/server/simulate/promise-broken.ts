/** How the models of the simulators say that the broker has not done what it has promised. */

export class PromiseBroken extends Error {
  override readonly name = "PromiseBroken";
}

export function demand(isSo: boolean, what: () => string): asserts isSo {
  if (!isSo) throw new PromiseBroken(what());
}
