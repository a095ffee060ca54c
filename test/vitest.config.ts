import { defineConfig } from 'vitest/config';

/** One project a kind of test; scenario and platform tests drive real daemons, so they run one file at a time. */
const project = (name: string, timeoutMs: number, oneByOne: boolean, folder = name) => ({
  test: {
    name,
    include: [`test/${folder}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: !oneByOne,
    pool: 'forks' as const,
  },
});

const guest = (machine: string) => {
  const { test } = project(`guest-${machine}`, 300_000, true, `guest/${machine}`);
  return { test: { ...test, setupFiles: ['test/guest/support/setup.ts'] } };
};

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
      // The same: make test-ceph.
      project('ceph', 120_000, true),
      // The same: make test-gluster.
      project('gluster', 120_000, true),
      // Inside of guests with a kernel of their own: make test-guest-short, make test-guest.
      guest('uml'),
      guest('long'),
      guest('qemu'),
    ],
  },
});
