/** Asks LVM what it knows of a volume.
 *  Promises: asks of one group by its name, and changes nothing; no volume is looked into for volumes of LVM that a guest has made in
 *  it; what LVM prints is checked. Source: lvs(8), lvmreport(7). */

import { z } from 'zod';
import { Fault } from '../../../base/faults.ts';
import { volumeBytesMax } from '../../../base/limits.ts';
import { remedyIn } from '../remedies.ts';
import type { Tools } from '../tools.ts';
import { flawOf, isVolumeId, type VolumeIds, type VolumeName } from './names.ts';

export interface LogicalVolume extends VolumeName, VolumeIds {
  readonly kind: 'thick' | 'thin';
  /** Why nobody but LVM itself uses it; undefined: it can be used. */
  readonly unusable: string | undefined;
  /** What it shows to who reads it. Of a thick snapshot that is the size of its origin. */
  readonly sizeBytes: number;
  /** What it takes of its group, in extents; of a thick snapshot the room for changes. */
  readonly extents: number;
  readonly origin: string | null;
  readonly originId: string | null;
  readonly pool: string | null;
  readonly poolId: string | null;
  readonly tags: readonly string[];
  /** "253:3" while it is active. */
  readonly number: string | null;
  readonly open: boolean;
  /** Room of a snapshot or pool that is used up; null where it has no such, or is not active. */
  readonly dataPercent: number | null;
  readonly metadataPercent: number | null;
  /** Of a thin volume, in its pool; null where it has none. */
  readonly thinId: number | null;
  /** Of the pool, when the thin volume was made; null for others. */
  readonly transaction: number | null;
  readonly readOnly: boolean;
  readonly extentBytes: number;
  /** Extents of the group that are free. */
  readonly freeExtents: number;
}

/** No volume is taken for a disk, so that what guests keep in theirs stays theirs. */
export const noGuests = 'devices/scan_lvs=0';
const onlyAsk = `${noGuests} global/metadata_read_only=1`;

const fields = [
  'vg_name,vg_uuid,lv_name,lv_uuid,lv_layout,lv_role,lv_size,origin,origin_size,pool_lv,lv_tags,lv_kernel_major,lv_kernel_minor',
  'lv_device_open,data_percent,metadata_percent,thin_id,lv_snapshot_invalid,lv_health_status,vg_extent_size,vg_free_count',
  'origin_uuid,pool_lv_uuid,transaction_id,lv_permissions',
].join(',');

const reportShape = z.object({
  report: z.tuple([z.object({ lv: z.array(z.record(z.string(), z.string())).max(64) })]).rest(z.unknown()),
});

const askTimeoutMs = 30_000;
/** lvs ends by a segmentation fault now and then, where another command changes the group at that moment. */
const crashesMax = 3;

/** Undefined where the group has no such volume. TOOL_FAILED where LVM can't say, as when the group is not there. */
export async function findVolume(tools: Tools, name: VolumeName): Promise<LogicalVolume | undefined> {
  const flaw = flawOf(name);
  if (flaw !== undefined) throw new Fault('INVALID_ARGUMENT', `Cannot ask LVM for a volume: ${flaw}`);
  const [found] = await askFor(tools, name.group, ['--select', `lv_name="${name.volume}"`]);
  return found;
}

/** The same by the uuid that LVM gave it, whatever it is called by now. `volumeId`: as LVM prints it. */
export async function findVolumeById(
  tools: Tools,
  group: string,
  volumeId: string,
): Promise<LogicalVolume | undefined> {
  if (!isVolumeId(volumeId))
    throw new Fault('INVALID_ARGUMENT', 'Cannot ask LVM for a volume: this is no uuid');
  const [found] = await askFor(tools, group, ['--select', `lv_uuid="${volumeId}"`]);
  return found;
}

async function askFor(tools: Tools, group: string, select: readonly string[]): Promise<LogicalVolume[]> {
  const form = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '--binary'];
  const words = ['--config', onlyAsk, '--all', ...form, '--options', fields, ...select, group];
  const text = await outputOf(tools, 'lvs', words);
  const report = reportShape.safeParse(parsed(text)).data;
  if (report === undefined) throw unreadable('its report has another shape');
  return report.report[0].lv.map(readVolume);
}

export async function outputOf(tools: Tools, program: string, words: readonly string[]): Promise<string> {
  for (let crashes = 1; ; crashes += 1) {
    const ended = await tools.run(program, words, { timeoutMs: askTimeoutMs });
    if (ended.status === 0) return ended.stdout;
    const crashed = ended.status === 139 || (ended.status === null && !ended.timedOut);
    if (crashed && crashes < crashesMax) continue;
    const { status, stdout, stderr } = ended;
    const remedy = remedyIn(stderr);
    throw new Fault('TOOL_FAILED', `"${program}" failed: ${reasonOf(stderr) ?? ended.complaint}`, {
      details: { program, words, status, stdout, stderr },
      ...(remedy === undefined ? {} : { hint: remedy }),
    });
  }
}

/** LVM gives the reason first, and last what it could not do for that. */
function reasonOf(stderr: string): string | undefined {
  const lines = stderr.split('\n').map((line) => line.trim());
  return lines.find((line) => line !== '' && !/^(WARNING:|File descriptor )/.test(line));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const unreadable = (why: string): Fault => new Fault('TOOL_FAILED', `Cannot read what "lvs" prints: ${why}`);

function readVolume(row: Readonly<Record<string, string>>): LogicalVolume {
  const text = (field: string): string => {
    const value = row[field];
    if (value === undefined || value.length > 4096) throw unreadable(`its field "${field}" is missing`);
    return value;
  };
  const count = (field: string): number => {
    const value = Number(text(field));
    if (!Number.isSafeInteger(value) || value > volumeBytesMax)
      throw unreadable(`its field "${field}" is no number`);
    return value;
  };
  const percent = (field: string): number | null => (text(field) === '' ? null : Number(text(field)));
  const list = (field: string): string[] =>
    text(field)
      .split(',')
      .filter((word) => word !== '');
  const extentBytes = count('vg_extent_size');
  if (extentBytes < 512) throw unreadable('its field "vg_extent_size" is no size');
  const minor = count('lv_kernel_minor');
  const origin = text('origin') === '' ? null : text('origin');
  const thin = list('lv_layout').includes('thin');
  return {
    group: text('vg_name'),
    groupId: text('vg_uuid'),
    // In brackets where it is hidden.
    volume: text('lv_name').replace(/^\[(.*)\]$/, '$1'),
    volumeId: text('lv_uuid'),
    kind: thin ? 'thin' : 'thick',
    unusable: flawIn(
      list('lv_layout'),
      list('lv_role'),
      text('lv_snapshot_invalid'),
      text('lv_health_status'),
    ),
    sizeBytes: !thin && origin !== null ? count('origin_size') : count('lv_size'),
    extents: Math.ceil(count('lv_size') / extentBytes),
    origin,
    pool: text('pool_lv') === '' ? null : text('pool_lv').replace(/^\[(.*)\]$/, '$1'),
    tags: list('lv_tags'),
    number: minor < 0 ? null : `${count('lv_kernel_major')}:${minor}`,
    open: text('lv_device_open') === '1',
    dataPercent: percent('data_percent'),
    metadataPercent: percent('metadata_percent'),
    thinId: text('thin_id') === '' ? null : count('thin_id'),
    originId: text('origin_uuid') === '' ? null : text('origin_uuid'),
    poolId: text('pool_lv_uuid') === '' ? null : text('pool_lv_uuid'),
    transaction: thin && text('thin_id') !== '' ? count('transaction_id') : null,
    readOnly: text('lv_permissions').startsWith('read-only'),
    extentBytes,
    freeExtents: count('vg_free_count'),
  };
}

function flawIn(
  layout: readonly string[],
  role: readonly string[],
  invalid: string,
  health: string,
): string | undefined {
  if (layout.includes('pool')) return 'it is a pool, which holds volumes and is none';
  if (role.includes('private')) return 'it is a part of another volume';
  if (invalid === '1') return 'it is a snapshot whose room for changes has run out';
  if (health === 'partial') return 'a disk of its volume group is missing';
  return undefined;
}
