/** A server of NFS on the loopback, over a folder: Ganesha, which needs neither a kernel's help nor other daemons.
 *  Promises: the server and its folder are gone when the test has finished. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { eventually } from '../../support/daemon.ts';
import { modprobe } from './inside.ts';

export interface NfsServer {
  readonly process: ChildProcess;
  readonly port: number;
  /** What is exported as "/volumes". */
  readonly folder: string;
}

let nextPort = 12_049;

const settings = (folder: string, port: number): string => `NFS_CORE_PARAM {
  Bind_addr = 127.0.0.1; NFS_Port = ${port}; MNT_Port = ${port + 1}; NLM_Port = ${port + 2}; Rquota_Port = ${port + 3};
  Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; mount_path_pseudo = true;
}
NFSv4 {
  RecoveryBackend = fs; RecoveryRoot = ${folder}/recovery; Grace_Period = 5; Lease_Lifetime = 5; Graceless = true;
  Minor_Versions = 0,1,2;
}
NFS_KRB5 { Active_krb5 = false; }
EXPORT {
  Export_Id = 1; Path = ${folder}/volumes; Pseudo = /volumes; Access_Type = RW; Squash = No_Root_Squash;
  SecType = sys; Protocols = 4; Transports = TCP; PrivilegedPort = false;
  Attr_Expiration_Time = 0; FSAL { Name = VFS; }
}
`;

export async function nfsServer(): Promise<NfsServer> {
  modprobe('nfsv4', 'fuse');
  const folder = mkdtempSync('/tmp/nfs-');
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['volumes', 'recovery']) mkdirSync(join(folder, name));
  mkdirSync('/run/ganesha', { recursive: true });
  const port = nextPort;
  nextPort += 4;
  writeFileSync(join(folder, 'conf'), settings(folder, port));
  const log = join(folder, 'log');
  const words = ['-F', '-f', join(folder, 'conf'), '-p', join(folder, 'pid'), '-L', log, '-N', 'NIV_EVENT'];
  const server = spawn('ganesha.nfsd', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  onTestFinished(() => (server.kill('SIGKILL'), ended));
  const said = (): string => {
    try {
      return readFileSync(log, 'utf8');
    } catch {
      return '';
    }
  };
  await eventually('the server is up', () => said().includes('NFS SERVER INITIALIZED'));
  return { process: server, port, folder: join(folder, 'volumes') };
}
