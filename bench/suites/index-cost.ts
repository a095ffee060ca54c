/** A program of its own, so that its memory is that of the index.
 *    index-cost fill FOLDER ENTRIES      makes an index with that many addresses
 *    index-cost measure FOLDER ENTRIES   looks up and adds ─▶ one line of JSON (IndexSample)
 *  The filling goes in `passes` over the whole range of addresses, each in order and many packs a transaction: a tree that has
 *  split its pages as random packs would have, in minutes instead of days. What is measured are packs as a backup adds them: random
 *  addresses, one transaction and flush each. Promises: half of what is looked up is there, half is not. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GiB } from '../../daemon/base/bytes.ts';
import { native } from '../../native/native.ts';
import type { IndexSample } from '../results.ts';

const packEntries = 1024;
const passes = 11;
const entryBytes = 48;
const warmLookups = 200_000;
const coldLookups = 4000;
const packsAdded = 200;
/** Addresses of one look-up call: those of a segment. */
const together = 16;

const [what = '', folder = '', count = ''] = process.argv.slice(2);
const path = join(folder, 'index');
const entries = Number(count);
/** A small part of a pass: a transaction keeps what it replaces until the next but one. */
const packsTogether = Math.min(64, Math.max(1, Math.floor(entries / passes / packEntries / 40)));
const open = () => native.openIndex(path, 64 * GiB);

/** Spreads a number over 32 bits (the finalizer of MurmurHash3). */
function mixed(value: number): number {
  let word = value | 0;
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** Address `slot` of all, in ascending order: somewhere in its part of the range. */
function writeAddress(slot: number, into: Buffer, at: number): void {
  const noise = mixed(slot);
  into.writeUInt32BE(Math.floor(((slot + noise / 2 ** 32) / entries) * 2 ** 32), at);
  for (let word = 1; word < 8; word++) into.writeUInt32LE(mixed(noise + word), at + word * 4);
}

/** What follows the address: blocks stored raw, one behind the other. */
function writePlace(number: number, into: Buffer, at: number): void {
  into.writeUInt32LE(16 + number * 65536, at + 32);
  into.writeUInt32LE(65536, at + 36);
  into.writeUInt32LE(65536 + 2 ** 24, at + 40);
}

async function fill(): Promise<void> {
  const index = open();
  const places = Buffer.alloc(packsTogether * packEntries * entryBytes);
  for (let pass = 0, packs = 0; pass < passes; pass++) {
    const amount = Math.ceil((entries - pass) / passes);
    for (let first = 0; first < amount; ) {
      const length = Math.min(packsTogether * packEntries, amount - first);
      for (let i = 0; i < length; i++) {
        writeAddress((first + i) * passes + pass, places, i * entryBytes);
        writePlace(i % packEntries, places, i * entryBytes);
      }
      const [names, counts] = [[] as Buffer[], Buffer.alloc(Math.ceil(length / packEntries) * 4)];
      for (let at = 0; at < length; at += packEntries) {
        names.push(native.hash(Buffer.from(`pack ${packs++}`)));
        counts.writeUInt32LE(Math.min(packEntries, length - at), (at / packEntries) * 4);
      }
      await index.addPacks(Buffer.concat(names), places.subarray(0, length * entryBytes), counts, true);
      first += length;
    }
  }
  index.close();
}

interface LookUp {
  readonly us: number;
  readonly cpuUs: number;
}

const random = (below: number): number => Math.floor((randomBytes(6).readUIntBE(0, 6) / 2 ** 48) * below);

function knownAddresses(amount: number): Buffer {
  const addresses = Buffer.alloc(amount * 32);
  for (let i = 0; i < amount; i++) writeAddress(random(entries), addresses, i * 32);
  return addresses;
}

/** Microseconds of one look-up, by the clock and of the processor. Everything or nothing must be found. */
function lookUp(index: ReturnType<typeof native.openIndex>, addresses: Buffer, isKnown: boolean): LookUp {
  const locations = Buffer.alloc(together * 16);
  let found = 0;
  const [begin, cpuBefore] = [performance.now(), process.cpuUsage()];
  for (let at = 0; at + together * 32 <= addresses.length; at += together * 32) {
    locations.fill(0);
    index.locate(addresses.subarray(at, at + together * 32), locations);
    for (let i = 0; i < together; i++) found += locations.readUInt32LE(i * 16 + 12) === 0 ? 0 : 1;
  }
  const looked = Math.floor(addresses.length / 32 / together) * together;
  if (found !== (isKnown ? looked : 0)) throw new Error(`found ${found} of ${looked} addresses`);
  const cpu = process.cpuUsage(cpuBefore);
  return { us: ((performance.now() - begin) * 1000) / looked, cpuUs: (cpu.user + cpu.system) / looked };
}

/** Empties or fills the page cache for the file, which nobody may have open while it is emptied. */
const forget = () => execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0', 'status=none']);
async function readThrough(): Promise<void> {
  for await (const _ of createReadStream(path, { highWaterMark: 4 * 2 ** 20 }));
}

/** Milliseconds of adding each of some packs. */
async function addSome(index: ReturnType<typeof native.openIndex>): Promise<number[]> {
  const took: number[] = [];
  for (let pack = 0; pack < packsAdded; pack++) {
    const places = Buffer.alloc(packEntries * entryBytes);
    for (let i = 0; i < packEntries; i++) {
      randomBytes(32).copy(places, i * entryBytes);
      writePlace(i, places, i * entryBytes);
    }
    const begin = performance.now();
    await index.addPack(randomBytes(32), places, true);
    took.push(performance.now() - begin);
  }
  return took.sort((a, b) => a - b);
}

function residentPeak(): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

async function measure(): Promise<IndexSample> {
  const { blocks } = statSync(path);
  const known = knownAddresses(warmLookups);
  const unknown = randomBytes(warmLookups * 32);
  const cold = knownAddresses(coldLookups);
  forget();
  writeFileSync('/proc/self/clear_refs', '5');
  const residentBefore = process.memoryUsage.rss();
  const begin = performance.now();
  let index = open();
  const openMs = performance.now() - begin;
  const { us: coldUs } = lookUp(index, cold, true);
  index.close();
  await readThrough();
  index = open();
  const residentMiddle = process.memoryUsage.rss();
  const [there, absent] = [lookUp(index, known, true), lookUp(index, unknown, false)];
  const took = await addSome(index);
  const residentBytes = residentPeak() - Math.min(residentBefore, residentMiddle);
  index.close();
  const at = (share: number) =>
    took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? Number.NaN;
  return {
    entries,
    coldUs,
    knownUs: there.us,
    knownCpuUs: there.cpuUs,
    unknownUs: absent.us,
    unknownCpuUs: absent.cpuUs,
    addPackMs: at(0.5),
    addPackP99Ms: at(0.99),
    diskBytes: blocks * 512,
    residentBytes,
    openMs,
  };
}

if (what === 'fill') await fill();
else console.log(JSON.stringify(await measure()));
