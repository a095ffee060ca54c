/** The one table of what can be asked over the control socket. Server handlers, the client and `docs/protocol.md` are
 *  typed and made from these rows. Promises: params are validated against the row before a handler runs.
 *  No I/O; knows nothing of who asks or answers. */

import { z } from 'zod';
import { deviceMethods } from './device-methods.ts';
import { fileMethods } from './file-methods.ts';
import { inProject, method } from './method-row.ts';
import { projectMethods } from './project-methods.ts';
import * as shape from './shapes.ts';
import type {
  BackupValue,
  EventValue,
  JobValue,
  LimitValue,
  MountValue,
  RangeValue,
  RepositoryStatisticsValue,
  RepositoryValue,
  ServiceValue,
  SettingValue,
  StatusValue,
  ViewValue,
} from './values.ts';
import { volumeMethods } from './volume-methods.ts';

const nothing = z.strictObject({});
const ofRepository = { name: shape.repository.default('default') };

export const methods = {
  hello: method<{ version: string; protocol: { major: number; minor: number } }>()({
    summary: 'Says who you are and learns who answers; the first call on a connection.',
    needs: 'anybody',
    params: z.strictObject({ client: z.string().max(64), major: z.int().min(0), minor: z.int().min(0) }),
    answer: 'version of the daemon and of the protocol',
  }),
  status: method<StatusValue>()({
    summary: 'One screen about the daemon: memory, jobs, repository.',
    needs: 'anybody',
    params: nothing,
    answer: 'status',
  }),
  'config.show': method<{ settings: SettingValue[] }>()({
    summary: 'The settings in force and where each comes from.',
    needs: 'admin',
    params: nothing,
    answer: 'settings',
  }),
  ...volumeMethods,
  ...projectMethods,
  ...deviceMethods,
  'backup.create': method<{ backup: BackupValue; job_id: string }>()({
    summary: 'Starts a backup of a volume.',
    needs: 'project',
    params: z.strictObject({
      volume: shape.reference,
      snapshot: shape.reference.optional().describe('a snapshot of the volume, backed up in its place'),
      incremental: z.boolean().default(false),
      force: z.boolean().default(false),
      skip_errors: z
        .boolean()
        .default(false)
        .describe('take what can not be read as zeros, and mark the backup'),
      name: shape.name.optional(),
      description: shape.text.optional(),
      properties: shape.properties.default({}),
      rate: shape.rate.default(0).describe('bytes a second for this job alone; 0: no limit'),
      repository: shape.repository.default('default'),
      changed_extents: shape.changedExtents
        .optional()
        .describe('with incremental: [offset, length] of each extent that may have changed, ascending'),
      changed_since: shape.reference
        .optional()
        .describe('the backup that changed_extents start from; absent: the parent'),
      container: shape.container.optional(),
      availability_zone: shape.text.optional(),
      ...inProject,
    }),
    answer: 'the backup, in status creating, and its job',
  }),
  'backup.list': method<{ backups: BackupValue[]; next_marker: string | null }>()({
    summary: 'Lists backups, newest first.',
    needs: 'project',
    params: z.strictObject({
      name: shape.text.optional(),
      status: shape.text.optional(),
      volume: shape.reference.optional(),
      all_projects: z.boolean().default(false),
      limit: shape.limit,
      marker: shape.id.optional(),
      sort: z
        .string()
        .max(255)
        .regex(/^[a-z_]+(:(asc|desc))?(,[a-z_]+(:(asc|desc))?)*$/, 'key[:asc|desc],…')
        .default('created_at:desc'),
      ...inProject,
    }),
    answer: 'a page of backups, and the marker of the next page',
  }),
  'backup.show': method<BackupValue>()({
    summary: 'Shows one backup.',
    needs: 'project',
    params: z.strictObject({ backup: shape.reference, ...inProject }),
    answer: 'the backup',
  }),
  'backup.set': method<BackupValue>()({
    summary: 'Changes name, description or properties of a backup; an administrator may also set its state.',
    needs: 'project',
    params: z.strictObject({
      backup: shape.reference,
      name: shape.name.nullable().optional().describe('null: none'),
      description: shape.text.nullable().optional().describe('null: none'),
      properties: shape.properties.default({}),
      clear_properties: z.boolean().default(false),
      remove_properties: shape.propertyKeys.default([]),
      state: z.enum(['available', 'error']).optional(),
      ...inProject,
    }),
    answer: 'the backup',
  }),
  'backup.delete': method<{ job_id: string }>()({
    summary: 'Deletes a backup; with force also one in status error or creating.',
    needs: 'project',
    params: z.strictObject({ backup: shape.reference, force: z.boolean().default(false), ...inProject }),
    answer: 'its job',
  }),
  'backup.restore': method<{ job_id: string; backup_id: string; target: string }>()({
    summary: 'Writes a backup to a new or existing file or device.',
    needs: 'project',
    params: z.strictObject({
      backup: shape.reference,
      target: shape.location
        .optional()
        .describe('a registered volume, URL or path; absent: a new file volume'),
      connection_info: shape.connectionInfo.optional(),
      name: shape.name.optional().describe('registers the target as a volume of this name'),
      force: z.boolean().default(false),
      differential: z.boolean().default(false),
      rate: shape.rate.default(0).describe('bytes a second for this job alone; 0: no limit'),
      ...inProject,
    }),
    answer: 'its job, and the URL of the target',
  }),
  'backup.copy': method<{ job_id: string }>()({
    summary: 'Copies a backup to another repository, where it keeps its id.',
    needs: 'project',
    params: z.strictObject({
      backup: shape.reference,
      to: shape.repository,
      chain: z.boolean().default(false).describe('its parents, too, the oldest first'),
      rate: shape.rate.default(0).describe('bytes a second for this job alone; 0: no limit'),
      ...inProject,
    }),
    answer: 'its job; the result of the job lists what was copied',
  }),
  'backup.verify': method<{ job_id: string }>()({
    summary: 'Reads and checks every byte of a backup.',
    needs: 'project',
    params: z.strictObject({ backup: shape.reference, ...inProject }),
    answer: 'its job; the result of the job lists damaged ranges',
  }),
  'backup.diff': method<{ extents: RangeValue[]; changed_bytes: number; truncated: boolean }>()({
    summary: 'Changed extents between two backups.',
    needs: 'project',
    params: z.strictObject({ a: shape.reference, b: shape.reference, ...inProject }),
    answer: 'extents in order, at most 10 000 of them, and the sum of all',
  }),
  'backup.record.export': method<{ backup_service: string; backup_url: string }>()({
    summary: 'The record of an available backup as Cinder exports it.',
    needs: 'admin',
    params: z.strictObject({ backup: shape.reference, ...inProject }),
    answer: 'the service, and the record in base64',
  }),
  'backup.record.import': method<BackupValue>()({
    summary: 'Takes up a backup whose data is in the repository, by its record.',
    needs: 'admin',
    params: z.strictObject({
      service: shape.text.min(1),
      url: z.string().max(1024 * 1024),
      ...inProject,
    }),
    answer: 'the backup, available in the project',
  }),
  ...fileMethods,
  mount: method<{ job_id: string; mount: MountValue }>()({
    summary: 'Makes the files of a backup visible at a folder.',
    needs: 'project',
    params: z.strictObject({
      backup: shape.reference,
      directory: shape.path,
      partition: shape.partition.optional(),
      /** Mounted by the kernel of this host, for administrators; else the files are read by a process without rights. */
      kernel: z.boolean().default(false),
      /** Goes with the daemon, and is not made again by its next start. */
      temporary: z.boolean().default(false),
      ...inProject,
    }),
    answer: 'the mount and its job',
  }),
  unmount: method<{ job_id: string }>()({
    summary: 'Undoes a mount; lazy: although it is used, so that it goes when that has ended.',
    needs: 'project',
    params: z.strictObject({ directory: shape.path, lazy: z.boolean().default(false), ...inProject }),
    answer: 'its job',
  }),
  'view.list': method<ViewValue>()({
    summary: 'Where the view is, and what is mounted.',
    needs: 'project',
    params: z.strictObject({ ...inProject }),
    answer: 'the view folder and the mounts',
  }),
  'job.list': method<{ jobs: JobValue[] }>()({
    summary: 'Lists jobs, newest first.',
    needs: 'project',
    params: z.strictObject({
      active: z.boolean().default(false),
      limit: z.int().min(1).max(1000).default(100),
      ...inProject,
    }),
    answer: 'jobs',
  }),
  'job.show': method<JobValue>()({
    summary: 'Shows one job.',
    needs: 'project',
    params: z.strictObject({ job: shape.id, ...inProject }),
    answer: 'the job',
  }),
  'job.watch': method<JobValue>()({
    summary:
      'Sends an event "job" at each change of a job, at most a few a second, and answers when it has ended.',
    needs: 'project',
    params: z.strictObject({ job: shape.id, ...inProject }),
    answer: 'the job as it ended',
  }),
  'job.cancel': method<JobValue>()({
    summary: 'Cancels a job; one that has ended stays as it is.',
    needs: 'project',
    params: z.strictObject({ job: shape.id, ...inProject }),
    answer: 'the job',
  }),
  'job.limit': method<JobValue>()({
    summary: 'Changes the rate of a job while it runs.',
    needs: 'project',
    params: z.strictObject({ job: shape.id, rate: shape.rate, ...inProject }),
    answer: 'the job',
  }),
  'limit.show': method<LimitValue>()({
    summary: 'Shows the rates of all jobs together.',
    needs: 'anybody',
    params: nothing,
    answer: 'the rates',
  }),
  'limit.set': method<LimitValue>()({
    summary: 'Changes the rates of all jobs together, at once and until the daemon stops.',
    needs: 'admin',
    params: z.strictObject({ read: shape.rate.optional(), write: shape.rate.optional() }),
    answer: 'the rates',
  }),
  'repository.add': method<RepositoryValue>()({
    summary: 'Makes a further repository known under a name, and opens it.',
    needs: 'admin',
    params: z.strictObject({
      name: shape.repository,
      url: shape.location,
      read_only: z.boolean().default(false).describe('true: nothing is ever written to it'),
    }),
    answer:
      'the repository; one that is not there yet has status missing, and can be made with repository.init',
  }),
  'repository.list': method<{ repositories: RepositoryValue[] }>()({
    summary: 'Lists the repositories.',
    needs: 'anybody',
    params: nothing,
    answer: 'repositories, the one of the settings first',
  }),
  'repository.remove': method<{ name: string; url: string; records_forgotten: number }>()({
    summary: 'Forgets a repository that was added. What it holds stays as it is.',
    needs: 'admin',
    params: z.strictObject({
      name: shape.repository,
      force: z.boolean().default(false).describe('forgets the records of its backups, too'),
    }),
    answer: 'what was forgotten',
  }),
  'repository.init': method<RepositoryValue>()({
    summary: 'Makes a repository that the daemon knows of and that is not there yet.',
    needs: 'admin',
    params: z.strictObject({
      ...ofRepository,
      block_bytes: z
        .union([z.literal(16384), z.literal(32768), z.literal(65536), z.literal(131072), z.literal(262144)])
        .optional(),
      kind: z.enum(['native', 'cinder']).optional().describe('must be the kind that the URL means'),
      compression: z.enum(['zlib', 'bz2', 'zstd', 'none']).optional().describe('only of a Cinder repository'),
      object_bytes: z.int().min(1).optional().describe("Cinder's backup_file_size"),
      hash_block_bytes: z.int().min(1).optional().describe("Cinder's backup_sha_block_size_bytes"),
    }),
    answer: 'the repository',
  }),
  'repository.show': method<RepositoryValue>()({
    summary: 'Shows a repository.',
    needs: 'anybody',
    params: z.strictObject({ ...ofRepository }),
    answer: 'the repository',
  }),
  'repository.check': method<{ job_id: string }>()({
    summary: 'Checks manifests, maps, packs; with read_data every byte too.',
    needs: 'admin',
    params: z.strictObject({ ...ofRepository, read_data: z.boolean().default(false) }),
    answer: 'its job; the result of the job lists what is damaged',
  }),
  'repository.scan': method<{ job_id: string }>()({
    summary: 'Finds every backup in a Cinder repository, and takes up those that are complete.',
    needs: 'admin',
    params: z.strictObject({ name: shape.repository, ...inProject }),
    answer: 'its job; the result of the job lists what was found, and what is missing',
  }),
  'repository.audit': method<{ job_id: string }>()({
    summary:
      'Reads all of a Cinder repository, and names what is damaged and what a newer Cinder restores wrongly.',
    needs: 'admin',
    params: z.strictObject({ ...ofRepository }),
    answer: 'its job; the result of the job has the report',
  }),
  'repository.stats': method<RepositoryStatisticsValue>()({
    summary: 'Counts and sizes of a repository, over all projects.',
    needs: 'admin',
    params: z.strictObject({ ...ofRepository }),
    answer: 'statistics',
  }),
  'service.list': method<{ services: ServiceValue[] }>()({
    summary:
      'Lists the backup service of this host: whether it is enabled, and whether its repositories answer.',
    needs: 'anybody',
    params: nothing,
    answer: 'a row for each repository',
  }),
  'service.set': method<{ services: ServiceValue[] }>()({
    summary: 'Enables or disables new backups, also beyond a restart.',
    needs: 'admin',
    params: z.strictObject({ enabled: z.boolean(), reason: shape.text.default('') }),
    answer: 'a row for each repository',
  }),
  'catalog.rebuild': method<{ job_id: string }>()({
    summary: 'Makes the catalog and the index anew from a repository.',
    needs: 'admin',
    params: z.strictObject({ ...ofRepository }),
    answer: 'its job',
  }),
} as const;

export type MethodName = keyof typeof methods;
/** What a caller hands over: defaults may be left out. */
export type Params<M extends MethodName> = z.input<(typeof methods)[M]['params']>;
/** What a handler receives: checked, with defaults. */
export type CheckedParams<M extends MethodName> = z.output<(typeof methods)[M]['params']>;
export type Result<M extends MethodName> = NonNullable<(typeof methods)[M]['result']>;

export const isMethodName = (text: string): text is MethodName => Object.hasOwn(methods, text);

/** Messages. A request has an id of the client's choice; an event carries the id of the request that asked for it. */
export type Request = { id: number; method: string; params?: unknown };
export type Response =
  | { id: number; result: unknown }
  | {
      id: number | null;
      error: { code: string; message: string; hint: string; details?: Record<string, unknown> };
    }
  | ({ id: number } & EventMessage);
/** What a request is told before its answer. */
export type EventMessage = { event: 'job'; data: JobValue } | { event: 'backup'; data: EventValue };
