/** What each connector needs of the host: programs, in which Debian package they are, from which version on; and what the process
 *  must be allowed to do.
 *  Promises: asks and changes nothing; a host that lacks something is told so in sentences, with the package that has it.
 *  Knows nothing of any protocol. */

import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Connector, SystemFolders } from './connector.ts';
import { packageNeeds } from './packages.ts';
import type { Tools } from './tools.ts';

/** Bits of the capabilities, as capabilities(7) numbers them, and what is done with them. */
export const capabilities = {
  CAP_SYS_ADMIN: { bit: 21, for: 'mounts, loop devices, device-mapper and the commands of disks' },
  CAP_DAC_OVERRIDE: { bit: 1, for: 'files of sysfs, sockets and volumes of other users' },
} as const;

/** Without it /proc hides what processes with more rights than ours have open. */
const sight = { name: 'CAP_SYS_PTRACE', bit: 19 } as const;

export interface Readiness {
  /** Of a connector. */
  readonly kind: string;
  /** What it lacks, as sentences; empty: nothing that can be seen from here. */
  readonly missing: readonly string[];
}

export interface RequirementParts {
  readonly tools: Tools;
  readonly folders: SystemFolders;
  /** /proc, elsewhere in tests. */
  readonly proc?: string;
  /** False: programs are only looked for, and none is run. */
  readonly versions: boolean;
}

export interface HostReadiness {
  /** What no connector can do without. */
  readonly host: readonly string[];
  /** What makes looks at who uses a device say less than the truth, as whole sentences. */
  readonly blind: readonly string[];
  readonly connectors: readonly Readiness[];
}

const versionTimeoutMs = 10_000;

export async function readinessOf(
  parts: RequirementParts,
  connectors: readonly Pick<Connector, 'kind' | 'needs'>[],
): Promise<HostReadiness> {
  const known = new Map<string, Promise<string[]>>();
  const missingOf = (name: string): Promise<string[]> => {
    const asked = known.get(name) ?? missingIn(parts, name);
    known.set(name, asked);
    return asked;
  };
  const lines = connectors.map(async ({ kind, needs }) => ({
    kind,
    missing: (await Promise.all(needs.map(missingOf))).flat(),
  }));
  const allowed = await allowedTo(parts);
  return {
    host: await missingOnHost(parts, allowed),
    blind: blindTo(allowed),
    connectors: await Promise.all(lines),
  };
}

async function missingIn({ tools, versions }: RequirementParts, name: string): Promise<string[]> {
  const { programs, version } = packageNeeds[name] ?? { programs: [] };
  const found = await Promise.all(
    programs.map(async (program) => ({ program, path: await tools.find(program) })),
  );
  const absent = found.filter(({ path }) => path === undefined).map(({ program }) => `"${program}"`);
  if (absent.length > 0) return [`${absent.join(' and ')} of the Debian package ${name} not found`];
  if (version === undefined || !versions) return [];
  const [program, ...words] = version.words;
  const said = await tools
    .run(program, words, { timeoutMs: versionTimeoutMs })
    .then(({ stdout, stderr }) => stdout + stderr, String);
  const number = /\d+(\.\d+)+/.exec(said)?.[0];
  // What does not tell its version is believed to be new.
  if (number === undefined || isAtLeast(number, version.lowest)) return [];
  return [`"${program}" is of version ${number}, older than ${version.lowest}`];
}

/** Compares versions as numbers between dots. */
export function isAtLeast(version: string, lowest: string): boolean {
  const [have, want] = [version, lowest].map((text) => text.split('.').map(Number));
  for (const [place, wanted] of (want ?? []).entries()) {
    const number = have?.[place] ?? 0;
    if (number !== wanted) return number > wanted;
  }
  return true;
}

/** Tells of the bit of a capability whether the process has it. What does not tell is believed to have all. */
async function allowedTo({ proc = '/proc' }: RequirementParts): Promise<(bit: number) => boolean> {
  const status = await readFile(join(proc, 'self/status'), 'utf8').catch(() => '');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return () => true;
  const bits = BigInt(`0x${effective}`);
  return (bit) => ((bits >> BigInt(bit)) & 1n) === 1n;
}

const blindTo = (allowed: (bit: number) => boolean): string[] =>
  allowed(sight.bit)
    ? []
    : [
        `The process lacks ${sight.name}: it does not see which programs have a source or target open, and takes one in use for unused`,
      ];

async function missingOnHost(
  { folders }: RequirementParts,
  allowed: (bit: number) => boolean,
): Promise<string[]> {
  const missing = Object.entries(capabilities)
    .filter(([, { bit }]) => !allowed(bit))
    .map(([name, { for: what }]) => `the process lacks ${name}, which it needs for ${what}`);
  // In a container without privileges both are there, and read-only.
  const readOnly = await access(folders.sys, constants.W_OK).then(
    () => false,
    () => true,
  );
  if (readOnly) missing.push(`"${folders.sys}" can not be written: no bus is scanned, and no disk removed`);
  return missing;
}

/** The readiness as lines of a log; none where all is well. */
export function warningsOf(ready: HostReadiness): string[] {
  const lacking = ready.connectors.filter(({ missing }) => missing.length > 0);
  const lines = [...ready.blind, ...ready.host.map((why) => `Devices can not be attached: ${why}`)];
  if (lacking.length > 0) {
    const list = lacking.map(({ kind, missing }) => `${kind} (${missing.join('; ')})`);
    lines.push(`Devices of these kinds can not be attached on this host: ${list.join(', ')}`);
  }
  return lines;
}
