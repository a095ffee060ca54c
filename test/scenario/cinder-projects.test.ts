/** Projects are walls: method by method, a user of one sees, hears and changes nothing of another. */

import { randomUUID } from 'node:crypto';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MethodName, methods } from '../../daemon/protocol/methods.ts';
import { Daemon, eventually } from '../support/daemon.ts';
import { run } from '../support/devices.ts';
import { sourceOf } from '../support/fault-world.ts';
import type { Message } from '../support/raw-client.ts';
import { clientOf, Listener } from '../support/users.ts';
import { noise } from '../support/volume-model.ts';

const MiB = 2 ** 20;
const [alphaUser, betaUser, nobody] = [70_001, 70_002, 70_003];

type Thing = 'volume' | 'backup' | 'job' | 'snapshot' | 'directory';
interface Probe {
  /** What `params` names, where it names something. */
  readonly names?: Thing;
  /** True where only an id will do. */
  readonly isId?: boolean;
  readonly params: (reference: string) => object;
}

const none: Probe = { params: () => ({}) };
const everywhere: Probe = { params: () => ({ all_projects: true }) };
const by = (names: Thing, more: object = {}, key: string = names): Probe => ({
  names,
  params: (reference) => ({ [key]: reference, ...more }),
});
let ownFolder = '';
const isId = (text: string): boolean => /^[0-9a-f-]{36}$/.test(text);

/** How each method is tried: a new method without a row does not compile. */
const probes: { readonly [M in MethodName]: readonly Probe[] } = {
  hello: [],
  status: [none],
  'config.show': [none],
  'volume.add': [{ params: () => ({ name: 'x', source: '/dev/null' }) }],
  'volume.list': [none, everywhere],
  'volume.show': [by('volume')],
  'volume.set': [
    by('volume', { properties: { a: 'b' } }),
    by('volume', { state: 'available' }),
    by('volume', { accept_identity: 'any' }),
  ],
  'volume.remove': [by('volume')],
  'snapshot.add': [by('volume', { name: 'x', source: '/dev/null' })],
  'snapshot.create': [by('volume')],
  'snapshot.list': [none, everywhere, by('volume')],
  'snapshot.show': [by('snapshot')],
  'snapshot.remove': [by('snapshot')],
  'backup.create': [
    by('volume'),
    by('volume', { incremental: true }),
    by('snapshot', { volume: 'beta-volume' }),
  ],
  'backup.list': [
    none,
    everywhere,
    by('volume'),
    by('backup', {}, 'name'),
    { ...by('backup', {}, 'marker'), isId: true },
    { ...by('backup', { all_projects: true }, 'marker'), isId: true },
  ],
  'backup.show': [by('backup')],
  'backup.set': [by('backup', { name: 'taken' }), by('backup', { state: 'error' })],
  'backup.delete': [by('backup'), by('backup', { force: true })],
  'backup.restore': [
    by('backup'),
    by('backup', { force: true, name: 'alpha-volume' }),
    by('volume', { backup: 'beta-backup', force: true }, 'target'),
  ],
  'backup.copy': [by('backup', { to: 'elsewhere' })],
  'backup.verify': [by('backup')],
  'backup.diff': [by('backup', { b: 'beta-backup' }, 'a'), by('backup', { a: 'beta-backup' }, 'b')],
  'backup.record.export': [by('backup')],
  'backup.record.import': [{ params: () => ({ service: 'x', url: 'x' }) }],
  'file.list': [by('backup')],
  'file.show': [by('backup')],
  'file.extents': [by('backup')],
  'file.gather': [by('backup')],
  'file.read': [by('backup', { offset: 0, length: 1 })],
  mount: [
    { names: 'backup', params: (backup) => ({ backup, directory: ownFolder }) },
    by('directory', { backup: 'beta-backup' }),
  ],
  unmount: [by('directory')],
  'view.list': [none],
  'job.list': [none, { params: () => ({ active: true }) }],
  'job.show': [by('job')],
  'job.watch': [by('job')],
  'job.cancel': [by('job')],
  'job.limit': [by('job', { rate: 1 })],
  'limit.show': [none],
  'limit.set': [none],
  'quota.show': [none],
  'quota.set': [none],
  'quota.usage': [none],
  'events.list': [none, everywhere, by('backup'), by('backup', { all_projects: true })],
  // Its answer never comes: it is followed beside all the others.
  'events.follow': [],
  'device.list': [none],
  'device.show': [{ params: () => ({ device: 'x' }) }],
  'device.attach': [{ params: () => ({ volume: 'alpha-volume' }) }],
  'device.detach': [{ params: () => ({ device: 'x' }) }],
  'device.connector': [none],
  'device.rescan': [{ params: () => ({ device: 'x' }) }],
  'repository.add': [{ params: () => ({ name: 'x', url: '/tmp/x' }) }],
  'repository.list': [none],
  'repository.remove': [{ params: () => ({ name: 'x' }) }],
  'repository.init': [none],
  'repository.show': [none],
  'repository.check': [none],
  'repository.scan': [{ params: () => ({ name: 'x' }) }],
  'repository.audit': [none],
  'repository.stats': [none],
  'service.list': [none],
  'service.set': [{ params: () => ({ enabled: true }) }],
  'catalog.rebuild': [none],
};

describe('two projects', () => {
  let daemon: Daemon;
  let alpha: Listener;
  let beta: Listener;
  /** What alpha has: by id, and by name where it has one. */
  const things: Record<Thing, string[]> = { volume: [], backup: [], job: [], snapshot: [], directory: [] };
  const secrets: string[] = [];
  let slowJob = '';

  async function addVolume(name: string, project: string, bytes: Buffer): Promise<string> {
    writeFileSync(sourceOf(daemon, name), bytes);
    return (await daemon.call('volume.add', { name, source: sourceOf(daemon, name), project })).id;
  }

  async function backUp(
    volume: string,
    project: string,
    name: string,
  ): Promise<[backup: string, job: string]> {
    const started = await daemon.call('backup.create', { volume, project, name });
    const job = await daemon.call('job.watch', { job: started.job_id, project });
    expect(job.status).toBe('done');
    return [started.backup.id, job.id];
  }

  beforeAll(async () => {
    const grants = `project_grants = ["uid:${alphaUser}=alpha", "uid:${betaUser}=beta,default"]\n`;
    daemon = await Daemon.start({ settings: grants });
    const image = sourceOf(daemon, 'image');
    run('truncate', '--size', '8M', image);
    run('mkfs.ext4', '-q', image);
    const volume = await daemon.call('volume.add', { name: 'alpha-volume', source: image, project: 'alpha' });
    const slow = await addVolume('alpha-slow', 'alpha', noise(8 * MiB, 1));
    await addVolume('beta-volume', 'beta', noise(100_000, 2));
    const [backup, job] = await backUp('alpha-volume', 'alpha', 'alpha-backup');
    await backUp('beta-volume', 'beta', 'beta-backup');
    const snapshot = await daemon.call('snapshot.add', {
      volume: 'alpha-volume',
      name: 'alpha-snapshot',
      source: sourceOf(daemon, 'beta-volume'),
      project: 'alpha',
    });
    const directory = join(daemon.folder, 'alpha-mount');
    mkdirSync(directory);
    const mounted = await daemon.call('mount', { backup, directory, project: 'alpha' });
    await daemon.call('job.watch', { job: mounted.job_id, project: 'alpha' });
    const begun = await daemon.call('backup.create', { volume: 'alpha-slow', project: 'alpha', rate: 4096 });
    slowJob = begun.job_id;
    const running = async () =>
      (await daemon.call('job.show', { job: slowJob, project: 'alpha' })).status === 'running';
    await eventually('the slow one runs', running);
    await daemon.done(daemon.call('repository.check', {}));
    things.volume.push(volume.id, 'alpha-volume', slow, 'alpha-slow');
    things.backup.push(backup, 'alpha-backup', begun.backup.id);
    things.job.push(job, slowJob, mounted.job_id);
    things.snapshot.push(snapshot.id, 'alpha-snapshot');
    things.directory.push(directory);
    secrets.push(...Object.values(things).flat(), mounted.mount.id, image, 'alpha');
    ownFolder = join(daemon.folder, 'own');
    mkdirSync(ownFolder);
    chownSync(ownFolder, betaUser, betaUser);
    [alpha, beta] = [
      new Listener(await clientOf(daemon, alphaUser)),
      new Listener(await clientOf(daemon, betaUser)),
    ];
  });
  afterAll(() => daemon.dispose());

  /** Strings of alpha in what was heard, but for those that were asked about. */
  const leaked = (message: Message, asked: object): string[] => {
    const [text, question] = [JSON.stringify(message), JSON.stringify(asked)];
    return secrets.filter((secret) => text.includes(secret) && !question.includes(secret));
  };
  const without = ({ result, error }: Message, reference: string): string =>
    JSON.stringify({ result, error }).replaceAll(reference, '…');
  const unknownLike = (thing: Thing, reference: string): string =>
    thing === 'directory' ? '/nonexistent/folder' : isId(reference) ? randomUUID() : 'no-such-thing';
  const all = () =>
    Promise.all([
      daemon.call('volume.list', { project: 'alpha' }),
      daemon.call('backup.list', { project: 'alpha' }),
      daemon.call('snapshot.list', { project: 'alpha' }),
      daemon.call('view.list', { project: 'alpha' }),
      daemon.call('quota.usage', { project: 'alpha' }),
    ]);

  test('the world is there to be seen: its own user sees all of it', async () => {
    const lists = ['volume.list', 'backup.list', 'snapshot.list', 'view.list', 'job.list', 'events.list'];
    const answers = await Promise.all(
      lists.map(async (method) => daemon.call(method as 'job.list', { project: 'alpha' })),
    );
    const text = JSON.stringify(answers);
    for (const secret of secrets) expect(text).toContain(secret);
    for (const method of lists) expect((await alpha.ask(method, { project: 'alpha' })).error).toBeUndefined();
    expect(JSON.stringify(alpha.heard)).toContain(slowJob);
    expect((await alpha.ask('status', {})).result).toMatchObject({
      volumes: 2,
      backups: 2,
      jobs: { running: 1, queued: 0 },
    });
  });

  const names = Object.keys(probes) as MethodName[];

  test('every method is tried', () => {
    expect(names.sort()).toEqual((Object.keys(methods) as MethodName[]).sort());
    for (const name of names) {
      if (name !== 'hello' && name !== 'events.follow') expect(probes[name], name).not.toEqual([]);
    }
  });

  test.each(names.filter((name) => methods[name].needs === 'admin'))(
    '%s is refused to who does not administer',
    async (name) => {
      for (const { params } of probes[name]) {
        const project = 'project' in methods[name].params.shape ? { project: 'beta' } : {};
        const message = await beta.ask(name, { ...params('x'), ...project });
        expect(message.error).toMatchObject({ code: 'NOT_PERMITTED' });
      }
    },
  );

  test.each(names.filter((name) => methods[name].needs === 'project'))(
    '%s tells of nothing of another project, and answers of what is there as of what never was',
    async (name) => {
      const before = await all();
      for (const { names: thing, params, isId: onlyIds } of probes[name]) {
        const references = thing === undefined ? ['x'] : things[thing];
        for (const reference of references.filter((one) => onlyIds !== true || isId(one))) {
          for (const project of ['beta', 'default']) {
            const asked = { ...params(reference), project };
            const answer = await beta.ask(name, asked);
            expect(leaked(answer, asked), JSON.stringify(answer)).toEqual([]);
            expect(answer.error?.code).not.toBe('INVALID_ARGUMENT');
            if (thing === undefined) continue;
            const unknown = unknownLike(thing, reference);
            const other = await beta.ask(name, { ...params(unknown), project });
            expect(without(answer, reference)).toBe(without(other, unknown));
            if (answer.error === undefined) expect(JSON.stringify(answer.result)).toMatch(/\[\]/);
          }
          const refused = [];
          for (const project of ['alpha', 'nowhere']) {
            const answer = await beta.ask(name, { ...params(reference), project });
            expect(answer.error).toMatchObject({ code: 'NOT_PERMITTED' });
            refused.push(without(answer, project));
          }
          expect(refused[0]).toBe(refused[1]);
        }
      }
      expect(await all()).toEqual(before);
      expect(await daemon.call('job.show', { job: slowJob, project: 'alpha' })).toMatchObject({
        status: 'running',
      });
    },
  );

  test.each(names.filter((name) => methods[name].needs === 'anybody'))(
    '%s tells nobody of what a project has',
    async (name) => {
      const stranger = new Listener(await clientOf(daemon, nobody));
      for (const { params } of probes[name]) {
        for (const who of [beta, stranger]) {
          const answer = await who.ask(name, params('x'));
          expect(answer.error).toBeUndefined();
          expect(leaked(answer, {})).toEqual([]);
        }
      }
    },
  );

  test('status counts only what the caller may see', async () => {
    const stranger = new Listener(await clientOf(daemon, nobody));
    const nothing = { volumes: 0, backups: 0, jobs: { running: 0, queued: 0 } };
    expect((await stranger.ask('status', {})).result).toMatchObject(nothing);
    expect((await beta.ask('status', {})).result).toMatchObject({ ...nothing, volumes: 1, backups: 1 });
    expect(await daemon.call('status', {})).toMatchObject({
      volumes: 3,
      backups: 3,
      jobs: { running: 1, queued: 0 },
    });
  });

  test('who follows events hears nothing of another project, however it asks', async () => {
    const listener = new Listener(await clientOf(daemon, betaUser));
    listener.send('events.follow', { project: 'beta', last: 200 });
    listener.send('events.follow', { project: 'beta', all_projects: true, last: 200 });
    await backUp('alpha-volume', 'alpha', 'alpha-later');
    await backUp('beta-volume', 'beta', 'beta-later');
    await listener.ask('limit.show', {});
    const told = listener.heard.filter(({ event }) => event === 'backup');
    expect(told.length).toBeGreaterThanOrEqual(8);
    for (const message of listener.heard) expect(leaked(message, {})).toEqual([]);
  });

  test('jobs on the whole repository are for administrators: their results name the backups of all', async () => {
    const { jobs } = await daemon.call('job.list', {});
    const check = jobs.find(({ kind }) => kind === 'check');
    expect((await beta.ask('job.list', { project: 'default' })).result).toEqual({ jobs: [] });
    expect((await beta.ask('job.show', { job: check?.id, project: 'default' })).error).toMatchObject({
      code: 'JOB_UNKNOWN',
    });
  });

  test('restores of two projects to new volumes of one name do not meet, not even by force', async () => {
    const restore = async (who: Listener, project: string, backup: string, force: boolean) => {
      const { result, error } = await who.ask('backup.restore', { backup, name: 'one name', project, force });
      expect(error).toBeUndefined();
      const { job_id: job, target } = result as { job_id: string; target: string };
      expect((await who.ask('job.watch', { job, project })).result).toMatchObject({ status: 'done' });
      return target;
    };
    const first = await restore(alpha, 'alpha', 'alpha-backup', false);
    expect(await restore(beta, 'beta', 'beta-backup', true)).not.toBe(first);
  });
});
