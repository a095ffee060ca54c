/** What a connector is given when a test drives it by itself: the real system, a journal that is kept, a folder of its own. */

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AttachPolicy,
  type Built,
  type ConnectContext,
  systemFolders,
} from '../../daemon/devices/connect/connector.ts';
import { createProbe } from '../../daemon/devices/connect/probe.ts';
import { systemTools, type Tools } from '../../daemon/devices/connect/tools.ts';
import { native } from '../../native/native.ts';
import { folderForTest } from './devices.ts';

export const testPolicy: AttachPolicy = {
  multipath: false,
  enforceMultipath: false,
  pathsMin: 1,
  scanAttempts: 3,
  timeoutMs: 20_000,
};

export interface TestContext extends ConnectContext {
  /** What was journaled, the newest last. */
  readonly journaled: Built[];
  readonly notes: string[];
}

export interface TestContextOptions {
  readonly access?: 'read' | 'write';
  readonly tools?: Tools;
  readonly timeoutMs?: number;
  readonly policy?: Partial<AttachPolicy>;
  /** What other attachments have journaled. */
  readonly others?: () => readonly Built[];
  /** Called before each entry of the journal is kept, with its number from 1. */
  readonly beforeJournal?: (number: number) => void;
}

export function contextForTest(options: TestContextOptions = {}): TestContext {
  const folder = join(folderForTest(), 'attachment');
  mkdirSync(folder, { mode: 0o700 });
  const journaled: Built[] = [];
  const notes: string[] = [];
  return {
    tools: options.tools ?? systemTools,
    folders: systemFolders,
    policy: { ...testPolicy, timeoutMs: options.timeoutMs ?? testPolicy.timeoutMs, ...options.policy },
    signal: new AbortController().signal,
    access: options.access ?? 'read',
    id: '6f1c2a5e-0000-4000-8000-00000000c0de',
    folder,
    probe: createProbe(native),
    journaled,
    notes,
    journal: async (built) => {
      options.beforeJournal?.(journaled.length + 1);
      journaled.push(structuredClone(built));
    },
    others: () => options.others?.() ?? [],
    note: (what) => void notes.push(what),
    alone: (_key, task) => task(),
  };
}

export const installed = (program: string): boolean =>
  ['/usr/sbin', '/usr/bin', '/sbin', '/bin'].some((folder) => existsSync(join(folder, program)));

/** The programs of the system, as if these were not among them. */
export const toolsWithout = (...missing: readonly string[]): Tools => ({
  ...systemTools,
  find: async (program) => (missing.includes(program) ? undefined : systemTools.find(program)),
});
