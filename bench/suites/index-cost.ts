/** A program of its own, so that its memory is that of the index: fills an index with random addresses and looks some up.
 *    index-cost FOLDER ENTRIES SEED ─▶ one line of JSON (IndexSample)
 *  Promises: half of what is looked up is there, half is not; the page cache is as the kernel has it. */

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GiB } from '../../daemon/base/bytes.ts';
import { native } from '../../native/native.ts';
import { Random } from '../data/random.ts';
import type { IndexSample } from '../results.ts';

const packEntries = 512;
const lookups = 100_000;
/** Addresses of one look-up call: those of a segment. */
const together = 16;

const [folder = '', count = '', seed = ''] = process.argv.slice(2);
const path = join(folder, 'index');
const mapBytes = 64 * GiB;
const entries = Number(count);

function addressesOf(purpose: string, amount: number): Buffer {
  return new Random(Number(seed), purpose).bytes(amount * 32);
}

/** The directory of a pack with these addresses, all of blocks stored raw. */
function directory(addresses: Buffer): Buffer {
  const made = Buffer.alloc((addresses.length / 32) * 48);
  for (let i = 0; i * 32 < addresses.length; i++) {
    addresses.copy(made, i * 48, i * 32, (i + 1) * 32);
    made.writeUInt32LE(16 + i * 65536, i * 48 + 32);
    made.writeUInt32LE(65536, i * 48 + 36);
    made.writeUInt32LE(65536 + 2 ** 24, i * 48 + 40);
  }
  return made;
}

function lookUp(index: ReturnType<typeof native.openIndex>, addresses: Buffer): number {
  const locations = Buffer.alloc(together * 16);
  const begin = performance.now();
  for (let at = 0; at < addresses.length; at += together * 32)
    index.locate(addresses.subarray(at, at + together * 32), locations);
  return ((performance.now() - begin) * 1000) / (addresses.length / 32);
}

rmSync(path, { force: true });
const residentBefore = process.memoryUsage.rss();
let index = native.openIndex(path, mapBytes);
const wanted: Buffer[] = [];
const keepOneOf = Math.max(1, Math.floor(entries / lookups));
const begin = performance.now();
for (let first = 0, pack = 0; first < entries; first += packEntries, pack++) {
  const amount = Math.min(packEntries, entries - first);
  const addresses = addressesOf(`pack ${pack}`, amount);
  for (let i = 0; i < amount; i += keepOneOf) wanted.push(addresses.subarray(i * 32, i * 32 + 32));
  await index.addPack(native.hash(addresses), directory(addresses), true);
}
const addUs = ((performance.now() - begin) * 1000) / entries;
index.close();
const openBegin = performance.now();
index = native.openIndex(path, mapBytes);
const openMs = performance.now() - openBegin;
const chosen = wanted.slice(0, Math.floor(Math.min(wanted.length, lookups) / together) * together);
const known = Buffer.concat(shuffled(chosen));
const sample: IndexSample = {
  entries,
  addUs,
  openMs,
  knownUs: lookUp(index, known),
  unknownUs: lookUp(index, addressesOf('unknown', chosen.length)),
  diskBytes: statSync(path).blocks * 512,
  residentBytes: process.memoryUsage.rss() - residentBefore,
};
console.log(JSON.stringify(sample));
index.close();

function shuffled<T>(list: T[]): T[] {
  const random = new Random(Number(seed), 'shuffle');
  return list
    .map((item) => ({ item, rank: random.below(2 ** 32) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}
