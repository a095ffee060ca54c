/** What a system error of a source or a target is called. */

import { expect, test } from 'vitest';
import { sourceReadFault } from '../../../daemon/devices/faults.ts';

const failed = (code: string): Error => Object.assign(new Error(`pread: ${code}`), { code, position: 4096 });

test.each([
  // The kernel's words for a medium error, a far end that refuses, and a mount that was taken away.
  ['ENODATA', 'the medium is damaged there'],
  ['EREMOTEIO', 'the storage refuses the command'],
  ['E512', 'its server does not answer'],
  ['ESTALE', 'its server does not know it any more'],
])('%s is told in words', (code, words) => {
  expect(sourceReadFault('file:///v', failed(code))).toMatchObject({
    code: 'SOURCE_READ_FAILED',
    message: `Cannot read "file:///v" at byte 4096: ${words}`,
  });
});
