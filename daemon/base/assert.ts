/** Assertions: what only a bug of ours can break. They stay on in production: better to stop than to be wrong. */

export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure';
}

export function assert(holds: boolean, what: string): asserts holds {
  if (!holds) throw new AssertionFailure(`Assertion failed: ${what}`);
}
