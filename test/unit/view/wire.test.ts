/** What is made of the answers of a reader, which a hostile image may have in its hands. */

import { expect, test } from 'vitest';
import { hasUsableName } from '../../../daemon/view/browse/wire.ts';

test.each(['..', '.', '', '../../etc/passwd', 'link/file', '/etc', 'a\0b'])(
  'a file called %j is not shown: it would lead out of its folder',
  (name) => {
    expect(hasUsableName({ name: Buffer.from(name) })).toBe(false);
  },
);

test.each(['...', '.a', 'a\\b', 'a\nb', '0', '\u{1f600}', ' '])('a file called %j is shown', (name) => {
  expect(hasUsableName({ name: Buffer.from(name) })).toBe(true);
});

test('and so is one whose name is no UTF-8', () => {
  expect(hasUsableName({ name: Buffer.from([0xff, 0xfe]) })).toBe(true);
});
