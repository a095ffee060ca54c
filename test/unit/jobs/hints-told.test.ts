/** What came of hints goes into a manifest, which has to be readable whatever a program has said. */

import { expect, test } from 'vitest';
import { HintsTold, hintResult, noUse } from '../../../daemon/jobs/hints.ts';

test('a reason is as long as a manifest takes at most, and still says what was done', () => {
  const told = new HintsTold();
  expect(told.evidence).toEqual({});
  told.unused(noUse(`"lvs" failed: ${'x'.repeat(5000)}`));
  const { use = '' } = told.evidence.hints ?? {};
  expect(use).toMatch(/^"lvs" failed: x+, read everything$/);
  expect(use.length).toBeLessThanOrEqual(1024);
  const evidence = { read_from: 'snapshot' as const, used_by: [], hooks: [], ...told.evidence };
  expect(hintResult({ evidence })).toMatchObject({ hints: use });
});
