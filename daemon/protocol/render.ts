/** The manual page of the control protocol, made from the method table, the faults and the limits. Pure.
 *  Promises: the page says nothing that the tables do not; a test keeps `docs/protocol.md` in step. */

import { z } from 'zod';
import { MiB } from '../base/bytes.ts';
import { faults } from '../base/faults.ts';
import * as limits from '../base/limits.ts';
import { type MethodName, methods } from './methods.ts';
import { protocolVersion } from './version.ts';

/** Result types exist for the compiler only, so the page takes them from the text of the files that declare them. */
export interface ProtocolSources {
  /** Text of `methods.ts`. */
  readonly methods: string;
  /** Text of `values.ts`. */
  readonly values: string;
}

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
}

const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;

function range(what: string, min: number | undefined, max: number | undefined): string {
  // zod writes the safe integers as bounds where a row names none.
  const high = max === undefined || max >= Number.MAX_SAFE_INTEGER ? undefined : max;
  if (high === undefined) return min === undefined || min <= 0 ? what : `${what}, at least ${min}`;
  return `${what}, ${min ?? 0} to ${high}`;
}

function typeText(schema: Schema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeText).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'string') {
    if (schema.format === 'uuid') return 'UUID';
    const text = range('text', schema.minLength, schema.maxLength);
    return schema.pattern === undefined ? text : `${text}, like ${code(schema.pattern)}`;
  }
  if (schema.type === 'integer') return range('whole number', schema.minimum, schema.maximum);
  if (schema.type === 'array') return `list, at most ${schema.maxItems} items`;
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `map of text to ${typeText(schema.additionalProperties)}`;
  }
  return schema.type ?? 'anything';
}

function fieldLine(name: string, schema: Schema, required: boolean): string {
  const initial = schema.default === undefined ? '' : `default ${code(JSON.stringify(schema.default))}`;
  const must = required ? 'required' : initial || 'optional';
  const about = schema.description === undefined ? '' : `: ${schema.description}`;
  return `- \`${name}\` (${must}) ${typeText(schema)}${about}`;
}

const needs = {
  anybody: 'Anybody who reaches the socket may call it.',
  project: 'Needs the right to act for `project`.',
  admin: 'Needs root or a member of the admin group.',
} as const;

function resultType(name: MethodName, source: string): string {
  const key = name.includes('.') ? `'${name}'` : name;
  const start = source.indexOf(`\n  ${key}: method<`);
  const end = source.indexOf('>()({', start);
  if (start < 0 || end < 0) return 'unknown';
  return source
    .slice(source.indexOf('<', start) + 1, end)
    .replaceAll(/\s+/g, ' ')
    .trim();
}

function renderMethod(name: MethodName, sources: ProtocolSources): string {
  const row = methods[name];
  const schema = z.toJSONSchema(row.params, { io: 'input', unrepresentable: 'any' }) as Schema;
  const fields = Object.entries(schema.properties ?? {}).map(([field, shape]) =>
    fieldLine(field, shape, schema.required?.includes(field) ?? false),
  );
  const params = fields.length === 0 ? ['No params.'] : ['Params:', '', ...fields];
  const result = `Result: ${row.answer}. \`${resultType(name, sources.methods)}\``;
  return [`### ${name}`, '', `${row.summary} ${needs[row.needs]}`, '', ...params, '', result].join('\n');
}

const faultLines = (): string =>
  Object.entries(faults)
    .map(([name, row]) => `| ${name} | ${row.exit} | ${row.retry ? 'yes' : 'no'} | ${row.hint} |`)
    .join('\n');

const head = (): string => `# Control protocol ${protocolVersion.major}.${protocolVersion.minor}

Made from \`daemon/protocol/\`; to change this page, change the tables and run the tests with \`UPDATE_DOCS=1\`.
\`list-backups.py\` beside this page speaks the protocol in some hundred lines of Python, without any library.

## Frames

basaltd listens on a Unix stream socket. Both ways, each message is a frame: the length of the body as 4 bytes, big
endian, then the body, one [MessagePack](https://msgpack.org) value. A body is at most ${limits.frameBytesMax} bytes and nested at most
${limits.frameDepthMax} deep; keys of maps are text and not "__proto__"; extension types are not used. Whole numbers beyond 32 bits may
come as 64-bit floats, which carry them exactly (up to 2^53). A closed writing side is a closed connection.

## Messages

| | |
|---|---|
| request | \`{"id": 7, "method": "backup.show", "params": {"backup": "…"}}\` |
| result | \`{"id": 7, "result": …}\` |
| fault | \`{"id": 7, "error": {"code": "BACKUP_UNKNOWN", "message": "…", "hint": "…", "details": {…}}}\` |
| event | \`{"id": 7, "event": "job", "data": …}\`, where \`data\` is a JobValue; \`"event": "backup"\`: an EventValue |

The client chooses \`id\`, a whole number of its own for each request under way. Requests run side by side, and their answers
come as they are ready. Each request gets one result or one fault; events come before it, and only to requests that ask for
them (\`job.watch\`, \`events.follow\`). For a slow client events are merged: it gets the newest state or progress of the job. A fault with \`id\` null is about
the connection, which then ends. Readers ignore fields they do not know; \`details\` is there only where there is something
to tell.

The first request is \`hello\`, for example \`{"client": "basaltctl 0.1.0", "major": ${protocolVersion.major}, "minor": ${protocolVersion.minor}}\`. Before it every other
method is a PROTOCOL fault; another major is PROTOCOL_VERSION. A higher minor only adds.

## Who may do what

The kernel tells the daemon who connects. root and the members of the admin group (setting \`admin_group\`) administer; other
users act for the projects that the setting \`project_grants\` gives to their uid or one of their groups.

## Limits

| limit | value | beyond it |
|---|---|---|
| body of a frame | ${limits.frameBytesMax / MiB} MiB | FRAME_TOO_LARGE; one that comes in ends the connection |
| nesting | ${limits.frameDepthMax} | PROTOCOL, and the connection ends |
| requests under way on a connection | ${limits.requestsPerClientMax} | TOO_MANY for the request |
| connections | ${limits.clientsMax}, of them ${limits.clientsForAdmins} for administrators only | TOO_MANY, and the connection ends |
| bytes that wait for a client | ${limits.clientBacklogBytesMax / MiB} MiB | the connection is cut |
| \`hello\`, the rest of a frame, or reading at all | ${limits.clientStallMs / 1000} s | the connection is cut |

## Methods
`;

/** The whole of `docs/protocol.md`. */
export function renderProtocol(sources: ProtocolSources): string {
  const rows = (Object.keys(methods) as MethodName[]).map((name) => renderMethod(name, sources));
  const values = sources.values.slice(sources.values.indexOf('export interface')).trimEnd();
  const tail = `## Values

\`\`\`ts
${values}
\`\`\`

## Faults

\`exit\` is the exit status of \`basaltctl\`; \`retry\` says whether the same call may succeed later without anybody changing
anything. A fault may come with a better hint than the one of its row.

| code | exit | retry | hint |
|---|---|---|---|
${faultLines()}
`;
  return [head().trimEnd(), ...rows, tail].join('\n\n');
}
