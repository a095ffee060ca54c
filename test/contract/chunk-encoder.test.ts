/** Objects that are compressed in pieces, on several threads, are one stream for the readers that Cinder uses. */

import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../daemon/base/bytes.ts';
import { native } from '../../native/native.ts';
import { temporaryFolder } from '../support/repository.ts';

type Algorithm = 'zlib' | 'bz2' | 'zstd';

const heads = { zlib: Buffer.from([0x78, 0x9c]), bz2: Buffer.from('BZh9') } as const;

async function encode(
  algorithm: Algorithm,
  pieces: readonly Buffer[],
): Promise<{ stored: Buffer; md5: string }> {
  const encoder = native.openChunkEncoder();
  const output = new Uint8Array(1 * MiB);
  const parts: Buffer[] = [];
  const keep = (bytes: number) => void parts.push(Buffer.from(output.subarray(0, bytes)));
  let sizeBytes = 0;
  const compress = async (input: Uint8Array, end: boolean) => {
    for (let [done, at] = [false, 0]; !done; ) {
      const step = await encoder.compress({ input: input.subarray(at), output, end, sizeMax: 64 * MiB });
      keep(step.produced);
      at += step.consumed;
      done = step.done;
    }
  };
  for (const piece of pieces) {
    sizeBytes += piece.length;
    await encoder.digest(piece);
    if (algorithm === 'zstd') await compress(piece, false);
    else {
      for (let at = 0; at < piece.length; ) {
        const packed = await native.packChunk({ algorithm, input: piece.subarray(at), output });
        expect(packed.consumed).toBeGreaterThan(0);
        keep(algorithm === 'bz2' ? await encoder.join(output, packed.blocks) : packed.produced);
        at += packed.consumed;
      }
    }
  }
  if (algorithm === 'zstd') await compress(Buffer.alloc(0), true);
  const md5 = encoder.md5().toString('hex');
  return algorithm === 'zstd'
    ? { stored: Buffer.concat([encoder.zstdHead(sizeBytes), ...parts]), md5 }
    : { stored: Buffer.concat([heads[algorithm], ...parts, encoder.tail(algorithm)]), md5 };
}

/** What Python makes of it: one stream or frame, whole, with nothing behind it. */
const program = `
import bz2, sys, zlib
algorithm, source, target = sys.argv[1:]
stored = open(source, 'rb').read()
if algorithm == 'zstd':
    import zstandard
    size = zstandard.frame_content_size(stored)
    reader = zstandard.ZstdDecompressor().decompressobj()
    raw = reader.decompress(stored)
    assert size == len(raw), (size, len(raw))
else:
    reader = zlib.decompressobj() if algorithm == 'zlib' else bz2.BZ2Decompressor()
    raw = reader.decompress(stored)
    assert reader.eof
assert reader.unused_data == b''
open(target, 'wb').write(raw)
`;

/** Runs of every kind of bytes, in lengths around the steps of the encoder. */
const samples: readonly (readonly Buffer[])[] = [
  [Buffer.alloc(1)],
  [randomBytes(512)],
  [Buffer.alloc(32 * KiB)],
  [randomBytes(1 * MiB), Buffer.alloc(1 * MiB), Buffer.alloc(1 * MiB, 'aaaab'), randomBytes(300_001)],
  [512 * KiB - 1, 512 * KiB, 512 * KiB + 1, 1 * MiB - 1, 3].map((length) =>
    Buffer.alloc(length, 'basalt keeps blocks. '),
  ),
  Array.from({ length: 70 }, (_, number) =>
    number % 3 === 0 ? randomBytes(4096) : Buffer.alloc(4096, number),
  ),
];

test.each(['zlib', 'bz2', 'zstd'] as const)('pieces packed with %s are one stream', async (algorithm) => {
  const folder = await temporaryFolder();
  try {
    for (const pieces of samples) {
      const { stored, md5 } = await encode(algorithm, pieces);
      const raw = Buffer.concat(pieces);
      expect(md5).toBe(createHash('md5').update(raw).digest('hex'));
      await writeFile(join(folder, 'stored'), stored);
      await promisify(execFile)('/usr/bin/python3', [
        '-c',
        program,
        algorithm,
        join(folder, 'stored'),
        join(folder, 'raw'),
      ]);
      expect(raw.equals(await readFile(join(folder, 'raw')))).toBe(true);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('hashes of blocks are SHA-256, the last one of what there is', async () => {
  const input = Buffer.concat([randomBytes(4096), Buffer.alloc(4096), randomBytes(100)]);
  const [hashes, zeros] = [Buffer.alloc(96), Buffer.alloc(3)];
  const parts = { fd: -1, directFd: -1, position: 0, length: input.length, blockBytes: 4096 };
  await native.hashChunks({ ...parts, input, hashes, zeros });
  const expected = [0, 4096, 8192].map((at) =>
    createHash('sha256')
      .update(input.subarray(at, at + 4096))
      .digest(),
  );
  expect(hashes.equals(Buffer.concat(expected))).toBe(true);
  expect([...zeros]).toEqual([0, 1, 0]);
});
