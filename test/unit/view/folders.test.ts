/** Names in the view, for users who may see different things. */

import { expect, test } from 'vitest';
import { Folders, type OwnedBackup, type Sight, wholeSight } from '../../../daemon/view/folders.ts';

type Backup = OwnedBackup & { readonly volume_name: string };

const sightOf = (...projects: string[]): Sight => ({
  key: projects.join(),
  sees: (project) => projects.includes(project),
});

/** A source that counts the backups that it gives. */
class Source {
  readonly all: Backup[] = [];
  given = 0;
  changes = 0;

  add(volume: string, project: string, created_at: string, name = 'data'): this {
    const id = `${String(this.all.length).padStart(8, '0')}-0000-4000-8000-000000000000`;
    this.all.push({
      id,
      volume_id: volume,
      volume_name: name,
      project_id: project,
      created_at,
      data_timestamp: created_at,
      size_bytes: 1,
    });
    this.changes += 1;
    return this;
  }
  generation() {
    return this.changes;
  }
  volumeIds() {
    return new Set(this.all.map(({ volume_id }) => volume_id));
  }
  *backups(volumeId: string) {
    for (const backup of this.all.filter(({ volume_id }) => volume_id === volumeId)) {
      this.given += 1;
      yield backup;
    }
  }
  *backupsMade(beginning: string, volumeId?: string) {
    for (const backup of this.all) {
      if (!backup.created_at.startsWith(beginning) || (volumeId ?? backup.volume_id) !== backup.volume_id)
        continue;
      this.given += 1;
      yield backup;
    }
  }
}

const atSecond = (second: number): string => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();

test('volumes of one name in two projects have it bare for each of their users, and with their ids for who sees both', () => {
  const folders = new Folders(
    new Source().add('aaaaaaaa-1', 'alpha', atSecond(1)).add('bbbbbbbb-1', 'beta', atSecond(1)),
  );
  const idsOf = (sight: Sight) => [...folders.volumes(sight)].map(([name, { id }]) => [name, id]);
  expect(idsOf(sightOf('alpha'))).toEqual([['data', 'aaaaaaaa-1']]);
  expect(idsOf(sightOf('beta'))).toEqual([['data', 'bbbbbbbb-1']]);
  expect(idsOf(sightOf())).toEqual([]);
  expect(idsOf(wholeSight)).toEqual([
    ['data (aaaaaaaa)', 'aaaaaaaa-1'],
    ['data (bbbbbbbb)', 'bbbbbbbb-1'],
  ]);
  expect([...folders.byTime(sightOf('beta')).keys()]).toEqual(['2026-01-01T00.00.01.000Z@data']);
  expect(folders.atTime(sightOf('beta'), '2026-01-01T00.00.01.000Z@data')?.volume_id).toBe('bbbbbbbb-1');
});

test('of a volume with backups in two projects each user sees those of his own', () => {
  const source = new Source().add('v', 'alpha', atSecond(1)).add('v', 'beta', atSecond(2));
  const folders = new Folders(source);
  const [alphas] = folders.backups(sightOf('alpha'), 'v').keys();
  expect(alphas).toBe('2026-01-01T00.00.01.000Z-00000000');
  expect(folders.backup(sightOf('alpha'), 'v', alphas ?? '')?.project_id).toBe('alpha');
  expect(folders.backup(sightOf('beta'), 'v', alphas ?? '')).toBeUndefined();
  expect(folders.atTime(sightOf('beta'), '2026-01-01T00.00.01.000Z@data')).toBeUndefined();
});

test('every name of a list is found again, by looking at the few backups that it may mean', () => {
  const source = new Source();
  for (let at = 0; at < 600; at += 1)
    source.add(`volume ${at % 3}`, 'alpha', atSecond(Math.floor(at / 6)), `name ${at % 3}`);
  const folders = new Folders(source);
  const sight = sightOf('alpha');
  const byTime = [...folders.byTime(sight)];
  const inVolume = [...folders.backups(sight, 'volume 1')];
  expect([byTime.length, inVolume.length]).toEqual([600, 200]);
  source.given = 0;
  for (const [name, { id }] of byTime) expect(folders.atTime(sight, name)?.id).toBe(id);
  for (const [name, backup] of inVolume) {
    expect(folders.backup(sight, 'volume 1', name)?.id).toBe(backup.id);
    expect(folders.backupName(sight, backup)).toBe(name);
  }
  // Six of each second, two of them of the one volume.
  expect(source.given).toBeLessThanOrEqual(600 * 6 + 2 * 200 * 2);
});

test('a name that nobody has costs no look at all backups, however often it is asked for', () => {
  const source = new Source();
  for (let at = 0; at < 100; at += 1) source.add('v', 'alpha', atSecond(at));
  const folders = new Folders(source);
  for (const name of [
    'x',
    'unknown-time-00000000',
    '2026-01-01T00.30.01.000Z-00000000',
    '2026-01-01T00.30.01.000Z@data',
  ]) {
    expect(folders.backup(wholeSight, 'v', name)).toBeUndefined();
    expect(folders.atTime(wholeSight, name)).toBeUndefined();
  }
  // Once, to learn that no backup has a time of another form; and one for the name of the volume.
  expect(source.given).toBeLessThanOrEqual(101);
});

test('backups whose time has another form are found too', () => {
  const source = new Source()
    .add('v', 'alpha', '2026-01-01T02:00:01+02:00')
    .add('v', 'alpha', 'yesterday')
    .add('v', 'alpha', atSecond(1));
  const folders = new Folders(source);
  for (const [name, { id }] of folders.backups(wholeSight, 'v'))
    expect(folders.backup(wholeSight, 'v', name)?.id).toBe(id);
  const byTime = folders.byTime(wholeSight);
  expect(byTime.size).toBe(3);
  for (const [name, { id }] of byTime) expect(folders.atTime(wholeSight, name)?.id).toBe(id);
});

test('what has come is found at once', () => {
  const source = new Source().add('v', 'alpha', atSecond(1));
  const folders = new Folders(source);
  expect([...folders.volumes(wholeSight).keys()]).toEqual(['data']);
  source.add('w', 'alpha', atSecond(2), 'new');
  expect([...folders.volumes(wholeSight).keys()].sort()).toEqual(['data', 'new']);
});
