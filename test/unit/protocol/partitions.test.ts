/** The numbers of partitions that methods take. */

import { expect, test } from 'vitest';
import { partitionsMax } from '../../../daemon/base/limits.ts';
import { methods } from '../../../daemon/protocol/methods.ts';

test('every partition that the view shows can be named, and no other', () => {
  const list = (partition: number) =>
    methods['file.list'].params.safeParse({ backup: 'b', partition }).success;
  const mount = (partition: number) =>
    methods.mount.params.safeParse({ backup: 'b', directory: '/mnt', partition }).success;
  for (const takes of [list, mount]) {
    expect([1, 129, partitionsMax].map(takes)).toEqual([true, true, true]);
    expect([0, partitionsMax + 1, 1.5].map(takes)).toEqual([false, false, false]);
  }
});
