/** What a local user may see of the view. */

import { expect, test } from 'vitest';
import { viewRightsMax, viewRightsMs } from '../../../daemon/base/limits.ts';
import { createSights } from '../../../daemon/control/sights.ts';

const projects = ['alpha', 'beta'];

function sights(groupsOf: (uid: number) => number[]) {
  const clock = { timeMs: 1_000_000, now: () => clock.timeMs };
  const grants = [
    { kind: 'uid', id: 1000, projects: ['alpha'] },
    { kind: 'gid', id: 500, projects: ['beta'] },
  ] as const;
  const sightOf = createSights({ native: { groupsOf }, clock, adminGid: 77, grants });
  const seen = (uid: number, gid = uid) => projects.filter((project) => sightOf({ uid, gid }).sees(project));
  return { seen, clock, sightOf };
}

test('users see the projects of their uid, of their gid and of their further groups; administrators see all', () => {
  const { seen } = sights((uid) => (uid === 2000 ? [500] : uid === 3000 ? [77] : []));
  expect(seen(0)).toEqual(projects);
  expect(seen(1000)).toEqual(['alpha']);
  expect(seen(1000, 500)).toEqual(projects);
  expect(seen(2000)).toEqual(['beta']);
  expect(seen(3000)).toEqual(projects);
  expect(seen(4000)).toEqual([]);
});

test('who sees the same shares one key, and nobody else has it', () => {
  const { sightOf } = sights(() => []);
  const keys = [0, 1000, 4000, 5000].map((uid) => sightOf({ uid, gid: uid }).key);
  expect(keys[2]).toBe(keys[3]);
  expect(new Set(keys).size).toBe(3);
});

test('groups are asked for again after a while, for as many users as there are', () => {
  let asked = 0;
  const { seen, clock } = sights(() => {
    asked += 1;
    return [];
  });
  seen(1000);
  seen(1000);
  expect(asked).toBe(1);
  clock.timeMs += viewRightsMs;
  seen(1000);
  expect(asked).toBe(2);
  for (let uid = 1; uid <= viewRightsMax + 1; uid += 1) seen(uid + 10_000);
  asked = 0;
  seen(1000);
  expect(asked).toBeGreaterThan(0);
});
