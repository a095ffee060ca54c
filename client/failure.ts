/** What went wrong, as the client tells it: a fault of its own, a fault that the daemon sent, or a detached wait.
 *  Promises: every thrown value has a code, a sentence, a hint and an exit status; a code that only a newer daemon knows
 *  ends with 70. Pure. */

import { Fault, faults, isFaultCode, toFault } from '../daemon/protocol/faults.ts';
import type { FaultValue, JobValue } from '../daemon/protocol/values.ts';
import { flatten } from './output/columns.ts';
import { humanText, printable, printableJson } from './output/text.ts';

export interface Failure extends FaultValue {
  exitStatus: number;
}

/** A fault that came over the socket. Its code may be newer than our table. */
export class RemoteFailure extends Error {
  readonly fault: FaultValue;

  constructor(fault: FaultValue) {
    super(fault.message);
    this.name = 'RemoteFailure';
    this.fault = fault;
  }
}

/** The operator pressed Ctrl-C while a job was awaited: the job goes on. */
export class Detached extends Error {
  readonly jobId: string;

  constructor(jobId: string) {
    super(`Detached from job "${jobId}": it goes on in the daemon`);
    this.name = 'Detached';
    this.jobId = jobId;
  }
}

const exitOfUnknownCode = 70;

export function exitStatusOf(code: string): number {
  return isFaultCode(code) ? faults[code].exit : exitOfUnknownCode;
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof RemoteFailure)
    return { ...thrown.fault, exitStatus: exitStatusOf(thrown.fault.code) };
  const fault: Fault = toFault(thrown);
  return {
    code: fault.code,
    message: fault.message,
    hint: fault.hint,
    ...(fault.details === undefined ? {} : { details: fault.details }),
    exitStatus: exitStatusOf(fault.code),
  };
}

/** A sentence and a hint, or one line of JSON for programs. */
export function failureText(failure: Failure, format: unknown): string {
  const { exitStatus: _, ...error } = failure;
  if (format === 'json') return `${printableJson(JSON.stringify({ error }))}\n`;
  return `${printable(failure.message)}\n${printable(failure.hint)}\n`;
}

const detailLinesMax = 20;

/** What a failed job knows beyond its message, for people. */
export function detailLines({ id, fault, result }: JobValue): string[] {
  const told = `${fault?.message ?? ''}\n${fault?.hint ?? ''}`;
  const isTold = (value: unknown): boolean =>
    Array.isArray(value) ? value.every(isTold) : typeof value === 'string' && told.includes(value);
  const rest = flatten(result ?? {}).filter(([, value]) => value !== null && !isTold(value));
  const lines = rest.flatMap(([key, value]) =>
    (typeof value === 'string' ? value.trimEnd() : humanText(key, value))
      .split('\n')
      .map((line, number) => (number === 0 ? `${key}: ${line}` : `  ${line}`)),
  );
  if (lines.length <= detailLinesMax) return lines;
  const left = lines.length - detailLinesMax;
  return [...lines.slice(0, detailLinesMax), `… and ${left} lines more: basaltctl job show ${id}`];
}
