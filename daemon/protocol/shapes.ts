/** Shapes that several methods take, each with its bounds. A name ends up as a folder of the view, so it is held to what is
 *  safe as one. */

import { z } from 'zod';
import {
  changedExtentsMax,
  connectionInfoBytesMax,
  partitionsMax,
  propertiesBytesMax,
} from '../base/limits.ts';

export const id = z.uuid();
/** As Linux numbers them. */
export const partition = z.int().min(1).max(partitionsMax);
export const reference = z.string().min(1).max(255).describe('id or name');
export const name = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^/\0\n]+$/, 'a name has no slash, zero byte or line end')
  .refine(
    (text) => text !== '.' && text !== '..' && Buffer.byteLength(text) <= 255,
    'not usable as the name of a folder',
  );
export const repository = z
  .string()
  .max(63)
  .regex(
    /^[A-Za-z0-9][\w.-]*$/,
    'a name begins with a letter or digit, and has letters, digits, ".", "_" and "-"',
  )
  .describe('name of a repository');
export const location = z.string().min(1).max(4096).describe('URL or absolute path');
/** Cinder's connection_info, looked at closely by the connector that it is for. */
export const connectionInfo = z
  .record(z.string().max(255), z.unknown())
  .refine((info) => JSON.stringify(info).length <= connectionInfoBytesMax, 'at most 64 KiB')
  .describe("Cinder's connection_info, in place of a URL; its secrets are kept, and never shown");
export const path = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^\/[^\0]*$/, 'an absolute path');
export const text = z.string().max(255);
export const properties = z
  .record(z.string().min(1).max(255), z.string().max(255))
  .refine((all) => JSON.stringify(all).length <= propertiesBytesMax, 'at most 64 KiB of properties');
export const propertyKeys = z.array(z.string().min(1).max(255)).max(1000);
/** Part of the path of objects in some kinds of repositories: it must never lead out of one. */
export const container = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^\p{Cc}]+$/u, 'a container has no control characters')
  .refine(
    (text) =>
      !text.startsWith('/') && !text.split('/').some((part) => part === '..' || part === '.' || part === ''),
    'a container is a relative path without ".", ".." and empty parts',
  );
export const project = z
  .string()
  .min(1)
  .max(64)
  .default('default')
  .describe('project that the call acts for');
export const rate = z
  .int()
  .min(0)
  .max(2 ** 50)
  .describe('bytes a second; 0: no limit');
const isPair = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && value.every(Number.isSafeInteger);
/** Looked at closely later, against the volume. One check an item, because there may be many. */
export const changedExtents = z
  .array(
    z.custom<readonly [offset: number, length: number]>(isPair, 'an extent is [offset, length] in bytes'),
  )
  .max(changedExtentsMax);
/** More than the daemon gives in one answer may be asked for. */
export const limit = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)
  .default(1000);
export const quota = z
  .int()
  .min(-1)
  .max(2 ** 31 - 1);
