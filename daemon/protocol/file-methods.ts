/** The rows of the table of methods that are about files inside backups. No I/O. */

import { z } from 'zod';
import { fileReadBytesMax } from '../base/limits.ts';
import { inProject, method } from './method-row.ts';
import * as shape from './shapes.ts';
import type { FileDetailsValue, FileSystemValue, FileValue, GatheredFileValue } from './values.ts';

/** A file inside a backup: by its path, or by the number that an earlier answer gave it. */
const fileReference = {
  backup: shape.reference,
  path: shape.path.default('/'),
  node: z.int().min(0).optional().describe('number of the file, in place of its path'),
  partition: shape.partition.optional(),
  logical_volume: z
    .string()
    .max(300)
    .regex(/^[^/]+\/[^/]+$/)
    .optional()
    .describe('GROUP/VOLUME of LVM, in place of a partition'),
};

export const fileMethods = {
  'file.list': method<{
    file_system: FileSystemValue;
    files: FileValue[];
    next_position: number | null;
  }>()({
    summary: 'Lists a folder inside a backup, a page at a time, without mounting anything.',
    needs: 'project',
    params: z.strictObject({
      ...fileReference,
      position: z.int().min(0).default(0).describe('where the page begins: next_position of the one before'),
      ...inProject,
    }),
    answer: 'the file system, a page of files, and where the next page begins',
  }),
  'file.gather': method<{ files: GatheredFileValue[]; next_position: number | null }>()({
    summary: 'Lists a folder inside a backup, a page at a time, with what is in its small files.',
    needs: 'project',
    params: z.strictObject({
      ...fileReference,
      position: z.int().min(0).default(0).describe('where the page begins: next_position of the one before'),
      ...inProject,
    }),
    answer: 'a page of files, each as file.show and file.read tell of it, and where the next page begins',
  }),
  'file.show': method<FileDetailsValue>()({
    summary: 'Shows one file inside a backup, with its extended attributes.',
    needs: 'project',
    params: z.strictObject({
      ...fileReference,
      follow: z.boolean().default(false).describe('of what a symbolic link at the end leads to'),
      ...inProject,
    }),
    answer: 'the file',
  }),
  'file.read': method<{ bytes: Uint8Array; hole_bytes: number; size_bytes: number }>()({
    summary: 'Reads a piece of a file inside a backup.',
    needs: 'project',
    params: z.strictObject({
      ...fileReference,
      offset: z.int().min(0),
      length: z.int().min(1).max(fileReadBytesMax),
      ...inProject,
    }),
    answer: 'bytes from the offset on, or how many zeros begin there; both empty at the end of the file',
  }),
  'file.extents': method<{
    extents: [offset: number, length: number][];
    next_offset: number | null;
    size_bytes: number;
  }>()({
    summary: 'Tells where the data of a file inside a backup is; what is between reads as zeros.',
    needs: 'project',
    params: z.strictObject({ ...fileReference, offset: z.int().min(0).default(0), ...inProject }),
    answer: 'extents from the offset on, some hundred at most, and where to go on; null: that was all',
  }),
} as const;
