/** Completion as it is used: a hand that types into real shells, on a daemon with canned answers, one that hangs, and none. */

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { clientMain, clientOnFakeDaemon, runClient } from '../support/client.ts';
import { aBackup } from '../support/fake-daemon.ts';

const { aFolder, basaltctl, fake, paramsOf } = clientOnFakeDaemon();
const typist = fileURLToPath(new URL('../support/type_in_shell.py', import.meta.url));

const script = (shell: string): string => `'${process.execPath}' '${clientMain}' completion ${shell}`;
/** In place of basaltctl the shell has a function that tells its words: the script finds its own way to the program. */
const setups: Readonly<Record<string, string>> = {
  bash: `basaltctl() { printf 'WORD:%s\\n' "$@"; }; source <(${script('bash')})`,
  zsh: `basaltctl() { printf 'WORD:%s\\n' "$@"; }; autoload -U compinit; compinit -u -D; source <(${script('zsh')})`,
  fish: `function basaltctl; printf 'WORD:%s\\n' $argv; end; ${script('fish')} | source`,
};

/** The words of each line as the shell ran it. */
async function typed(shell: string, cwd: string, socket: string, lines: readonly string[]) {
  const env = { ...process.env, BASALT_SOCKET: socket };
  const words = [typist, shell, setups[shell] ?? '', ...lines];
  const { stdout } = await promisify(execFile)('python3', words, { cwd, env, timeout: 90_000 });
  const parts = stdout.split(/MARK-\d+-\n/).slice(1, -1);
  return parts.map((part) => part.split('\n').flatMap((line) => /^WORD:(.*)/.exec(line)?.[1] ?? []));
}

const named = (name: string, number: number) =>
  aBackup({ name, id: `${number}2222222-2222-4222-8222-222222222222` });

test.each(Object.keys(setups))(
  '%s completes words, values and names',
  { timeout: 120_000 },
  async (shell) => {
    const names = ['weekly one', "owner's copy", '2026-11:late', '$HOME `x` "y"', 'done! at last', 'plain'];
    const daemon = await fake({
      'backup.list': (reply) => reply.result({ backups: names.map(named), next_marker: null }),
      'repository.list': (reply) => reply.result({ repositories: [{ name: 'archive', url: 'file:///x' }] }),
    });
    const cwd = aFolder();
    writeFileSync(join(cwd, 'image.img'), '');
    const lines = await typed(shell, cwd, daemon.socketPath, [
      'basaltctl back\tcrea\tweb --repos\tarch\t--wai\t',
      'basaltctl backup list --format=js\t',
      'basaltctl --project shop backup show wee\t',
      'basaltctl backup show own\t',
      'basaltctl backup show 2026\t',
      'basaltctl backup show \\$H\t',
      'basaltctl backup show "wee\t',
      'basaltctl backup show "don\t',
      'basaltctl volume add new ima\t',
    ]);
    expect(lines).toEqual([
      ['backup', 'create', 'web', '--repository', 'archive', '--wait'],
      ['backup', 'list', '--format=json'],
      ['--project', 'shop', 'backup', 'show', 'weekly one'],
      ['backup', 'show', "owner's copy"],
      ['backup', 'show', '2026-11:late'],
      ['backup', 'show', '$HOME `x` "y"'],
      ['backup', 'show', 'weekly one'],
      ['backup', 'show', 'done! at last'],
      ['volume', 'add', 'new', 'image.img'],
    ]);
    expect(paramsOf('backup.list')).toMatchObject({ project: 'shop' });
  },
);

const ask = ['__complete', 'words', '--', 'backup', 'show', ''];

test('names that mean two things are offered by their ids, and so is an id that somebody types', async () => {
  const [a, b, c, d] = [named('twice', 1), named('twice', 2), named('once', 3), aBackup({ name: null })];
  await fake({ 'backup.list': (reply) => reply.result({ backups: [a, b, c, d], next_marker: null }) });
  const words = async (...typed: string[]) =>
    (await basaltctl(...typed)).stdout
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split('\t')[0]);
  expect(await words(...ask)).toEqual([a?.id, b?.id, 'once', d?.id]);
  expect(await words(...ask.slice(0, -1), '32')).toEqual([c?.id]);
});

test('a name that moves the cursor is never offered', async () => {
  const backups = [named('a\u001b[2Jb', 1), named('fine', 2)];
  await fake({ 'backup.list': (reply) => reply.result({ backups, next_marker: null }) });
  expect((await basaltctl(...ask)).stdout).toMatch(/^-\nfine\t[^\n]*\n$/);
});

test('without a daemon, with one that refuses and with one that hangs, a key is answered soon, and in silence', async () => {
  const silent = { status: 0, stdout: '-\n', stderr: '' };
  expect(await basaltctl(...ask)).toEqual(silent);
  await fake({});
  expect(await basaltctl(...ask)).toEqual(silent);
  await fake({ 'backup.list': () => undefined });
  expect(await basaltctl(...ask)).toEqual(silent);
  const socket = join(aFolder(), 'mute.sock');
  const mute = createServer(() => undefined);
  await new Promise<void>((resolve) => mute.listen(socket, resolve));
  onTestFinished(() => void mute.close());
  const startedAtMs = performance.now();
  expect(await runClient(ask, { env: { BASALT_SOCKET: socket } })).toEqual(silent);
  // Well below the time that a command waits for a greeting.
  expect(performance.now() - startedAtMs).toBeLessThan(10_000);
});

test('a shell that is unknown is refused with those that are known', async () => {
  const { status, stderr } = await basaltctl('completion', 'tcsh');
  expect(status).toBe(64);
  expect(stderr).toMatch(/bash, zsh, fish/);
});
