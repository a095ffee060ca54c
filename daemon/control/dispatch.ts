/** From a decoded message to a handler's answer: is it a request, is there such a method, are the params right, may the
 *  caller do it. Promises: a handler sees checked params only, of a caller who has the right; what goes wrong is a Fault.
 *  What it does not know: sockets and frames. */

import type { z } from 'zod';
import { Fault } from '../base/faults.ts';
import {
  type CheckedParams,
  isMethodName,
  type MethodName,
  methods,
  type Params,
  type Request,
  type Response,
  type Result,
} from '../protocol/methods.ts';
import type { EventValue, JobValue } from '../protocol/values.ts';
import { productVersion, protocolVersion } from '../protocol/version.ts';
import { type Rights, requirePermission } from './permissions.ts';

/** Who asks, as a handler sees it. */
export interface Caller extends Rights {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Sends an event of this request. Where the client is slow only the newest state of each job is kept. */
  emit(data: JobValue): void;
  /** Sends an event about a backup. Where the client is slow only the newest progress of each job is kept. */
  tell(data: EventValue): void;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}

export type Handlers = {
  readonly [M in Exclude<MethodName, 'hello'>]: (
    params: CheckedParams<M>,
    caller: Caller,
  ) => Promise<Result<M>>;
};

/** PROTOCOL unless `value` is a request. Unknown fields are let through: a newer client may send more. */
export function readRequest(value: unknown): Request {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Fault('PROTOCOL', 'Cannot read the message: it is not a map');
  }
  const { id, method, params } = value as Record<string, unknown>;
  if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) {
    throw new Fault('PROTOCOL', 'Cannot read the message: its "id" is not a whole number');
  }
  if (typeof method !== 'string') {
    throw new Fault('PROTOCOL', 'Cannot read the message: its "method" is not text');
  }
  return { id, method: method.slice(0, 64), params: params ?? {} };
}

/** The issue as one sentence that names the field. */
function sentence(method: MethodName, issue: z.core.$ZodIssue): string {
  const field = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    return `Cannot call "${method}": it has no field "${issue.keys.map((key) => key.slice(0, 64)).join('", "')}"`;
  }
  if (field === '') return `Cannot call "${method}": ${issue.message}`;
  return `Cannot use "${field.slice(0, 64)}" of ${method}: ${issue.message}`;
}

function checkParams(method: MethodName, params: unknown): unknown {
  const checked = (methods[method].params as z.ZodType).safeParse(params);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new Fault(
    'INVALID_ARGUMENT',
    issue === undefined ? `Cannot call "${method}"` : sentence(method, issue),
  );
}

/** The answer to "hello". PROTOCOL_VERSION where client and daemon would misread each other. */
export function answerHello(params: unknown): Result<'hello'> {
  const { major } = checkParams('hello', params) as Params<'hello'>;
  if (major !== protocolVersion.major) {
    throw new Fault(
      'PROTOCOL_VERSION',
      `Cannot talk protocol "${major}": this daemon talks ${protocolVersion.major}.${protocolVersion.minor}`,
    );
  }
  return { version: productVersion, protocol: { ...protocolVersion } };
}

export function requireMethod(name: string): Exclude<MethodName, 'hello'> {
  if (isMethodName(name) && name !== 'hello') return name;
  throw new Fault('METHOD_UNKNOWN', `Cannot call "${name}": there is no such method`);
}

/** Runs the handler of a request. */
export async function dispatch(handlers: Handlers, request: Request, caller: Caller): Promise<unknown> {
  const method = requireMethod(request.method);
  const params = checkParams(method, request.params);
  requirePermission(method, params, caller);
  const handler = handlers[method] as (params: unknown, caller: Caller) => Promise<unknown>;
  return handler(params, caller);
}

/** The fault as it travels: no stack, no cause. */
export const faultResponse = (id: number | null, fault: Fault): Response => ({
  id,
  error: {
    code: fault.code,
    message: fault.message,
    hint: fault.hint,
    ...(fault.details === undefined ? {} : { details: { ...fault.details } }),
  },
});
