/** A real server of GlusterFS on the loopback: one management daemon and one brick, with the volume "volumes". Its clients ask for it at
 *  one port only, so that the address is what tells it from others.
 *  Promises: server, brick and folder are gone when `stop` resolves; nothing is written to the folders of a server of this host. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './daemon.ts';
import { run } from './devices.ts';

export interface GlusterServer {
  readonly host: string;
  /** What is in the volume, as the brick keeps it. Only looked at: what clients should see goes through `put`. */
  readonly brick: string;
  /** The process that clients read from and write to. */
  readonly brickPid: number;
  stop(): Promise<void>;
}

const settings = (folder: string, host: string): string => `volume management
    type mgmt/glusterd
    option working-directory ${folder}/glusterd
    option run-directory ${folder}/run
    option glusterd-sockfile ${folder}/run/socket
    option transport-type socket
    option transport.address-family inet
    option transport.socket.bind-address ${host}
    option transport.socket.listen-port 24007
    option ping-timeout 0
    option event-threads 1
end-volume
`;

/** Its folders of logs and sockets are compiled in: it sees its own in their place. */
const inItsOwn = `mkdir -p /var/log/glusterfs /run/gluster
mount --bind "$1/log" /var/log/glusterfs
mount --bind "$1/run" /run/gluster
exec glusterd --no-daemon --volfile="$1/glusterd.vol" --pid-file="$1/run/pid" --log-file="$1/log/glusterd"`;

const ended = (child: ChildProcess): Promise<unknown> =>
  child.exitCode === null && child.signalCode === null
    ? new Promise((resolve) => child.once('exit', resolve))
    : Promise.resolve();

const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

export async function startGluster(host = '127.24.0.7'): Promise<GlusterServer> {
  const folder = mkdtempSync(join(tmpdir(), 'basalt-gluster-'));
  for (const name of ['glusterd', 'run', 'log', 'log/bricks', 'brick']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'glusterd.vol'), settings(folder, host));
  const words = ['--mount', '--propagation', 'private', 'sh', '-c', inItsOwn, 'sh', folder];
  const daemon = spawn('unshare', words, { stdio: 'ignore' });
  const socket = join(folder, 'run/socket');
  const gluster = (...command: string[]): string =>
    run('gluster', '--mode=script', `--glusterd-sock=${socket}`, `--log-file=${folder}/log/cli`, ...command);
  const bricks = (): number[] => {
    const pids = join(folder, 'run/vols/volumes');
    return readdirSync(pids).map((name) => Number(readFileSync(join(pids, name), 'utf8')));
  };
  const stop = async (): Promise<void> => {
    let left: number[] = [];
    try {
      left = bricks();
    } catch {
      // It did not get that far.
    }
    for (const pid of left) if (isThere(pid)) process.kill(pid, 'SIGKILL');
    daemon.kill('SIGKILL');
    await ended(daemon);
    await eventually('the brick is gone', () => !left.some(isThere));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await eventually('the server answers', () => succeeds(() => gluster('pool', 'list')), 60_000);
    gluster('volume', 'create', 'volumes', `${host}:${folder}/brick/volumes`, 'force');
    gluster('volume', 'set', 'volumes', 'network.ping-timeout', '5');
    gluster('volume', 'start', 'volumes');
    const [brickPid = 0] = bricks();
    return { host, brick: join(folder, 'brick/volumes'), brickPid, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

function succeeds(task: () => unknown): boolean {
  try {
    task();
    return true;
  } catch {
    return false;
  }
}
