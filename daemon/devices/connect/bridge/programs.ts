/** The two programs that show what only they can read as one plain file, and how each is told what to show. Pure.
 *
 *    qemu-storage-daemon   knows holes, so that what a thin volume never held is not read; 470 to 590 MiB/s
 *    nbdfuse               a fortieth of the disk space with all it needs, no holes; 650 to 990 MiB/s of an NBD server in four streams
 *
 *  The nbd driver of the kernel is no third: 240 MiB/s where these two make 150 and 220, no holes either, and what it shows is a
 *  disk, which the host begins to use by itself (volume groups, partitions), and which holds its readers for ever. */

import type { Socket } from 'node:net';
import type { Json } from '../connector.ts';

/** A tree of block drivers, as `--blockdev` of QEMU takes it. */
export type BlockNode = { readonly driver: string; readonly [key: string]: Json };

export interface BridgeSource {
  readonly node: BlockNode;
  /** Where an NBD server shows it already. */
  readonly served?: ServedOverNbd;
  readonly writable: boolean;
}

/** `node` is to use the connection that it finds as `givenDescriptor`. Left to itself QEMU makes a lost connection anew, and goes on
 *  with whatever is behind the name by then. */
export interface ServedOverNbd {
  readonly uri: string;
  /** At most so many, where the program can make several; undefined: as the program likes. */
  readonly connections?: number;
  dial(): Promise<Socket>;
}

/** The first one after those of every process. */
export const givenDescriptor = 3;

export const bridgePrograms = ['qemu-storage-daemon', 'nbdfuse'] as const;
export type BridgeProgram = (typeof bridgePrograms)[number];

/** `file`: an empty file, over which the other one is mounted. */
export function bridgeWords(program: BridgeProgram, source: BridgeSource, file: string): string[] {
  const { node, served, writable } = source;
  if (program === 'nbdfuse') {
    const readOnly = writable ? [] : ['-r'];
    const { uri, connections } = served ?? {};
    const limit = connections === undefined ? [] : ['-C', String(connections)];
    if (uri !== undefined) return [...readOnly, ...limit, file, uri];
    return [...readOnly, file, '[', 'qemu-nbd', ...readOnly, `json:${JSON.stringify(node)}`, ']'];
  }
  const shown = { ...node, 'node-name': 'shown', 'read-only': !writable };
  const exported = { type: 'fuse', id: 'file', 'node-name': 'shown', mountpoint: file };
  const words = { ...exported, writable, growable: false, 'allow-other': 'off' };
  return ['--blockdev', JSON.stringify(shown), '--export', JSON.stringify(words)];
}
