import { defineConfig } from 'vitest/config';

/** One project a kind of test; scenario and platform tests drive real daemons, so they run one file at a time. */
const project = (name: string, timeoutMs: number, oneByOne: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: !oneByOne,
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      project('tidy', 20_000, false),
      project('unit', 20_000, false),
      project('contract', 60_000, false),
      project('property', 600_000, true),
      project('scenario', 180_000, true),
      project('platform', 180_000, true),
      // Needs packages that no other test needs: make test-cinder.
      project('cinder', 900_000, true),
    ],
  },
});
