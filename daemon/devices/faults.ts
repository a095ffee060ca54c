/** System errors of sources and targets as rows of the fault table.
 *  Promises: a Fault passes as it is; what is no system error is a bug of ours and stays one. */

import { errnoOf, Fault, type FaultCode, toFault } from '../base/faults.ts';

const positionOf = (thrown: unknown): number | undefined => {
  const position: unknown = thrown instanceof Error && 'position' in thrown ? thrown.position : undefined;
  return typeof position === 'number' ? position : undefined;
};

/** What the operator can make sense of, for the errors that happen; the name of the system's error for the rest. */
const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EBUSY: 'another program has claimed it',
  // What is left of a call that was waiting for a server when the mount was taken from it.
  E512: 'its server does not answer',
  EDQUOT: 'the quota of its owner is used up',
  EFBIG: 'its file system cannot hold a file of this size',
  EIO: 'the device reports an input/output error',
  ENODATA: 'the medium is damaged there',
  ENOLINK: 'no path leads to the device any more',
  EREMOTEIO: 'the storage refuses the command',
  ESTALE: 'its server does not know it any more',
  ETIMEDOUT: 'the device does not answer',
  ENOMEDIUM: 'there is no medium in the drive',
  ENOSPC: 'there is no space left',
  ENXIO: 'there is no device behind it',
  ENODEV: 'there is no device behind it',
  EPERM: 'permission denied',
  EROFS: 'its file system is read-only',
  ETXTBSY: 'the system runs it or swaps to it',
};

export function whyOf(thrown: unknown): string {
  const errno = errnoOf(thrown);
  const why = errno === undefined ? undefined : words[errno];
  if (why !== undefined) return why;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

const place = (thrown: unknown): string => {
  const position = positionOf(thrown);
  return position === undefined ? '' : ` at byte ${position}`;
};

const failure = (code: FaultCode, verb: string, url: string, thrown: unknown): Fault =>
  new Fault(code, `Cannot ${verb} "${url}"${place(thrown)}: ${whyOf(thrown)}`, { cause: thrown });

/** A failed read of an open source. */
export function sourceReadFault(url: string, thrown: unknown): Fault {
  if (thrown instanceof Fault || errnoOf(thrown) === undefined) return toFault(thrown);
  return failure('SOURCE_READ_FAILED', 'read', url, thrown);
}

/** A failed write to, or sync of, an open target. */
export function targetWriteFault(url: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown);
  if (errno === undefined) return toFault(thrown);
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  return failure(full ? 'TARGET_FULL' : 'TARGET_WRITE_FAILED', 'write', url, thrown);
}

/** A source that can't be opened or looked at. */
export function sourceOpenFault(url: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown);
  if (errno === undefined) return toFault(thrown);
  const denied = errno === 'EACCES' || errno === 'EPERM';
  const code = denied ? 'NOT_PERMITTED' : errno === 'EIO' ? 'SOURCE_READ_FAILED' : 'SOURCE_UNUSABLE';
  return failure(code, 'open', url, thrown);
}

const targetOpenCodes: Readonly<Record<string, FaultCode>> = {
  EACCES: 'TARGET_READ_ONLY',
  EPERM: 'TARGET_READ_ONLY',
  EROFS: 'TARGET_READ_ONLY',
  EBUSY: 'TARGET_BUSY',
  ETXTBSY: 'TARGET_BUSY',
  EEXIST: 'TARGET_EXISTS',
  ENOSPC: 'TARGET_FULL',
  EDQUOT: 'TARGET_FULL',
  EIO: 'TARGET_WRITE_FAILED',
};

/** A target that can't be opened, made or looked at; nothing was written to it. */
export function targetOpenFault(url: string, thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  const errno = errnoOf(thrown);
  if (errno === undefined) return toFault(thrown);
  return failure(targetOpenCodes[errno] ?? 'TARGET_UNUSABLE', 'open', url, thrown);
}
