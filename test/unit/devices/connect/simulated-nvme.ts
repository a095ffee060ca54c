/** A host with NVMe over TCP that is a tree of files: a subsystem with portals and namespaces, the kernel's view of it below "sys", and
 *  the program `nvme` that changes it.
 *  Promises: controllers come and go by `connect` and `disconnect` alone, and show what the subsystem shows at that moment. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Built, ConnectContext } from '../../../../daemon/devices/connect/connector.ts';
import type { ToolRun } from '../../../../daemon/devices/connect/tools.ts';
import { folderForTest } from '../../../support/devices.ts';

export const nqn = 'nqn.2026-01.example:disk';
export const portals = ['10.0.0.2', '10.0.1.2'];
export const uuidOf = (number: number): string =>
  `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

const said = (status: number, text = ''): ToolRun => ({
  status,
  stdout: status === 0 ? text : '',
  stderr: status === 0 ? '' : text,
  timedOut: false,
  complaint: text,
});

export class SimulatedNvme {
  readonly sys = folderForTest();
  /** What is behind each number, by the number of its volume. */
  readonly namespaces = new Map<number, number>([[1, 1]]);
  /** Portals that nobody answers at. */
  readonly down = new Set<string>();
  readonly calls: string[] = [];
  #made = 0;

  constructor() {
    for (const folder of ['class/nvme', 'block', 'etc/nvme', 'module/nvme_tcp'])
      mkdirSync(join(this.sys, folder), { recursive: true });
    writeFileSync(join(this.sys, 'nvme-fabrics'), '');
  }

  get controllers(): string[] {
    return readdirSync(join(this.sys, 'class/nvme')).sort();
  }

  /** As somebody else connects: without our mark. */
  connect(portal: string, words: readonly string[] = []): string {
    const value = (name: string) => words.find((word) => word.startsWith(`--${name}=`))?.split('=')[1] ?? '';
    const name = `nvme${this.#made}`;
    this.#made += 1;
    const folder = join(this.sys, 'class/nvme', name);
    this.#write(folder, {
      transport: 'tcp',
      address: `traddr=${portal},trsvcid=4420`,
      subsysnqn: nqn,
      hostnqn: value('hostnqn'),
      state: 'live',
      ctrl_loss_tmo: value('ctrl-loss-tmo') || '600',
    });
    this.scan(name);
    return name;
  }

  /** The kernel looks what a controller shows. */
  scan(name: string): void {
    this.forget(name);
    const folder = join(this.sys, 'class/nvme', name);
    for (const [nsid, volume] of this.namespaces) {
      const disk = `nvme9n${volume}`;
      this.#write(join(folder, `nvme9c${name.slice(4)}n${volume}`), {
        nsid: String(nsid),
        uuid: uuidOf(volume),
        ana_state: 'optimized',
      });
      this.#write(join(this.sys, 'block', disk), { dev: `259:${volume}`, diskseq: String(volume) });
    }
    this.#sweep();
  }

  /** It drops what the controller showed. */
  forget(name: string): void {
    const folder = join(this.sys, 'class/nvme', name);
    for (const entry of readdirSync(folder).filter((one) => one.startsWith('nvme')))
      rmSync(join(folder, entry), { recursive: true });
  }

  set(name: string, file: string, text: string): void {
    writeFileSync(join(this.sys, 'class/nvme', name, file), text);
  }

  /** The kernel gives a controller up. */
  remove(name: string): void {
    rmSync(join(this.sys, 'class/nvme', name), { recursive: true, force: true });
    this.#sweep();
  }

  #write(folder: string, files: Readonly<Record<string, string>>): void {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), `${text}\n`);
  }

  /** Disks without a way go. */
  #sweep(): void {
    const shown = this.controllers.flatMap((name) => readdirSync(join(this.sys, 'class/nvme', name)));
    for (const disk of readdirSync(join(this.sys, 'block'))) {
      const number = disk.slice('nvme9n'.length);
      if (!shown.some((entry) => entry.startsWith('nvme9c') && entry.endsWith(`n${number}`)))
        rmSync(join(this.sys, 'block', disk), { recursive: true });
    }
  }

  #run = async (words: readonly string[]): Promise<ToolRun> => {
    const [verb = '', device = ''] = words;
    const name = device.split('/').at(-1) ?? '';
    const volume = this.namespaces.get(Number(words[2]?.split('=')[1]));
    this.calls.push(verb);
    switch (verb) {
      case 'connect': {
        const portal = words.find((word) => word.startsWith('--traddr='))?.split('=')[1] ?? '';
        if (this.down.has(portal))
          return said(1, 'Failed to write to /dev/nvme-fabrics: Connection timed out');
        this.connect(portal, words);
        return said(0);
      }
      case 'disconnect':
        this.remove(device.split('=')[1] ?? '');
        return said(0);
      case 'ns-rescan':
        this.scan(name);
        return said(0);
      case 'list-ns':
        return said(
          0,
          [...this.namespaces.keys()].map((nsid, at) => `[   ${at}]:0x${nsid.toString(16)}`).join('\n'),
        );
      case 'ns-descs':
        return volume === undefined ? said(1, 'Invalid Namespace') : said(0, `uuid     : ${uuidOf(volume)}`);
      default:
        return said(1, 'unknown');
    }
  };

  /** `others`: what other attachments of the agent have journaled. */
  context(others: () => readonly Built[] = () => []): ConnectContext & { readonly journaled: Built[] } {
    const journaled: Built[] = [];
    const { sys } = this;
    return {
      tools: {
        run: (_program, words) => this.#run(words),
        output: async (_program, words) => {
          const { status, stdout, complaint } = await this.#run(words);
          if (status !== 0) throw new Error(complaint);
          return stdout;
        },
        find: async (program) => program,
      },
      folders: { sys, dev: sys, etc: join(sys, 'etc') },
      policy: { multipath: true, enforceMultipath: false, pathsMin: 1, scanAttempts: 0, timeoutMs: 20_000 },
      signal: new AbortController().signal,
      access: 'read',
      id: 'test',
      folder: sys,
      probe: {
        scsiIdentity: async () => ({ names: [], serial: null }),
        size: async () => ({ sizeBytes: 2 ** 20, blockBytes: 4096 }),
        flush: async () => undefined,
        order: async () => undefined,
      },
      journal: async (built) => void journaled.push(structuredClone(built)),
      others,
      note: () => undefined,
      alone: (_key, task) => task(),
      journaled,
    };
  }

  hostNqnOf(name: string): string {
    const file = join(this.sys, 'class/nvme', name, 'hostnqn');
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  }
}
