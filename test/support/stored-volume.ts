/** Puts bytes into a repository and gets them back, without jobs or devices. */

import { randomUUID } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { segmentBytes } from '../../daemon/base/limits.ts';
import type { Manifest } from '../../daemon/format/manifest.ts';
import type { NativeRepository } from '../../daemon/repository/native/native-repository.ts';
import type { Repository } from '../../daemon/repository/repository.ts';
import { fieldsOf } from './repository.ts';

/** Backs up `bytes` by way of a file, with all segments under way at the same time. */
export async function store(repository: NativeRepository, folder: string, bytes: Buffer): Promise<Manifest> {
  const path = join(folder, 'volume.img');
  await writeFile(path, bytes);
  const file = await open(path);
  try {
    const writer = await repository.openWriter(bytes.length);
    const segments: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      const length = Math.min(segmentBytes, bytes.length - at);
      segments.push(
        writer.seal(
          { fd: file.fd, directFd: -1 },
          at,
          length,
          new Uint8Array(segmentBytes),
          new Uint8Array(segmentBytes),
        ),
      );
    }
    await Promise.all(segments);
    return await writer.finish(fieldsOf(randomUUID(), bytes.length));
  } finally {
    await file.close();
  }
}

/** The bytes of a backup, and what of them is damaged. */
export async function load(repository: Repository, manifest: Manifest) {
  const image = repository.openImage(manifest, { fresh: true });
  const bytes = Buffer.alloc(image.sizeBytes, 0xff);
  const damaged = [];
  let next = 0;
  for await (const extent of image.extents()) {
    expect(extent.offset).toBe(next);
    next += extent.length;
    if (!extent.data) bytes.fill(0, extent.offset, next);
    else if (extent.damage !== undefined) damaged.push(extent);
    else {
      const output = new Uint8Array(Math.ceil(extent.length / image.blockBytes) * image.blockBytes);
      damaged.push(...(await image.read(extent.offset, output, new Uint8Array(output.length))));
      bytes.set(output.subarray(0, extent.length), extent.offset);
    }
  }
  expect(next).toBe(image.sizeBytes);
  return { bytes, damaged };
}
