/** The one that asks devices: INQUIRY, sizes, flushes, and orders to the kernel about them.
 *  Promises: each question has a time limit, after which the caller goes on (DEVICE_FAILED, with what was asked), though the thread
 *  that asked may wait longer: a device whose paths are gone lets nobody go. Nothing of the kernel's memory is taken for an answer.
 *  Knows nothing of transports. */

import type { Native } from '../../../native/native.ts';
import { errnoOf, Fault } from '../../base/faults.ts';
import type { DeviceProbe } from './connector.ts';
import { identificationPage, readNames, readSerial, serialPage } from './scsi/designators.ts';

export interface ProbeLimits {
  /** Of INQUIRY, sizes. */
  readonly askMs: number;
  /** Of a flush, and of an order such as "delete", which waits until the device has written its cache or has failed to. */
  readonly orderMs: number;
}

export const probeLimits: ProbeLimits = { askMs: 10_000, orderMs: 60_000 };

type Parts = Pick<Native, 'inquiry' | 'namedSize' | 'namedFlush' | 'order'>;

function within<T>(task: Promise<T>, device: string, what: string, limitMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown) =>
      reject(new Fault('DEVICE_FAILED', `Cannot ${what} "${device}": ${why}`, { cause }));
    const timer = setTimeout(() => fail(`it did not answer within ${limitMs / 1000} s`), limitMs);
    task
      .then(resolve, (thrown: unknown) => {
        const known = errnoOf(thrown) === 'NO_UNIT';
        fail(known ? 'the storage shows no volume there' : String(errnoOf(thrown) ?? thrown), thrown);
      })
      .finally(() => clearTimeout(timer));
  });
}

export function createProbe(native: Parts, limits: ProbeLimits = probeLimits): DeviceProbe {
  const { askMs, orderMs } = limits;
  async function scsiIdentity(device: string) {
    const ask = (page: number) => within(native.inquiry(device, page, askMs), device, 'identify', askMs);
    const [names, serial] = [await ask(identificationPage), await ask(serialPage)];
    return {
      names: names === undefined ? [] : readNames(names),
      serial: serial === undefined ? null : readSerial(serial),
    };
  }
  return {
    scsiIdentity,
    size: (device) => within(native.namedSize(device), device, 'measure', askMs),
    flush: (device) => within(native.namedFlush(device), device, 'flush', orderMs),
    order: (file, text) => within(native.order(file, text), file, `write "${text}" to`, orderMs),
  };
}
