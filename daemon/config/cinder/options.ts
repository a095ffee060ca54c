/** Options of Cinder's backup service that are no setting of Basalt under another name, each with the reason. (Those that are
 *  one are named by the rows of `settings.ts`.) `basaltd config import` and docs/settings.md are made from both. Pure.
 *  Promises: every option of the backup service and of its drivers is in one of the two tables. */

/** Why an option of Cinder is not taken over: it has no meaning here, or it belongs to a kind of repository. */
export type LeftOut =
  | { readonly because: string }
  /** The repository that it describes is added by its URL, not by a setting. */
  | { readonly repository: 'NFS' | 'GlusterFS' | 'Swift' | 'S3' | 'Google' | 'Ceph' };

const because = (reason: string): LeftOut => ({ because: reason });
const of = (repository: Extract<LeftOut, { repository: string }>['repository']): LeftOut => ({ repository });

/** `names` share a reason. */
const all = (names: string, row: LeftOut): Record<string, LeftOut> =>
  Object.fromEntries(names.split(/\s+/).map((name) => [name, row]));

export const leftOutOptions: Readonly<Record<string, LeftOut>> = {
  backup_workers: because(
    'one process does all the work: reading, hashing and compressing run on every core by themselves',
  ),
  backup_native_threads_pool_size: because(
    'the addon has its own threads, and memory_limit and max_operations bound the work',
  ),
  backup_driver_stats_polling_interval: because(
    'nothing is polled: repository stats counts when it is asked',
  ),
  backup_use_same_host: because('every host that has the repository can restore from it'),
  backup_name_template: because('a backup without a name is called by its id'),
  reservation_expire: because(
    'a backup that is being made is its own reservation, and no crash leaves one over',
  ),
  backup_object_number_per_notification: because('progress is told by time alone: see progress_interval'),
  backup_use_temp_snapshot: because('a temporary snapshot is taken wherever the source can make one'),
  host: because('the name of this host is taken as the kernel has it'),
  ...all(
    'backup_manager backup_api_class backup_topic',
    because('there is one backup service, and no message bus'),
  ),
  backup_file_size: because(
    "it is given when a repository in Cinder's format is made: repository init --object-size",
  ),
  backup_container: because('a container is named with each backup: backup create --container'),
  backup_create_containers: because('containers are made when they are needed'),
  backup_metadata_version: because('what is written has version 2'),
  ...all('backup_mount_options backup_mount_attempts', of('NFS')),
  ...all('glusterfs_backup_share glusterfs_backup_mount_point', of('GlusterFS')),
  ...all(
    `swift_catalog_info keystone_catalog_info backup_swift_url backup_swift_auth_url backup_swift_auth
    backup_swift_auth_version backup_swift_user backup_swift_key backup_swift_tenant backup_swift_project
    backup_swift_user_domain backup_swift_project_domain backup_swift_container
    backup_swift_create_storage_policy backup_swift_object_size backup_swift_block_size
    backup_swift_retry_attempts backup_swift_retry_backoff backup_swift_ca_cert_file
    backup_swift_auth_insecure backup_swift_service_auth backup_swift_region_name`,
    of('Swift'),
  ),
  ...all(
    `backup_s3_endpoint_url backup_s3_store_access_key backup_s3_store_secret_key backup_s3_store_bucket
    backup_s3_object_size backup_s3_block_size backup_s3_timeout backup_s3_max_pool_connections
    backup_s3_retry_max_attempts backup_s3_retry_mode backup_s3_verify_ssl backup_s3_ca_cert_file
    backup_s3_md5_validation backup_s3_http_proxy backup_s3_https_proxy backup_s3_sse_customer_key
    backup_s3_sse_customer_algorithm`,
    of('S3'),
  ),
  ...all(
    `backup_gcs_bucket backup_gcs_credential_file backup_gcs_project_id backup_gcs_object_size
    backup_gcs_block_size backup_gcs_reader_chunk_size backup_gcs_writer_chunk_size backup_gcs_num_retries
    backup_gcs_retry_error_codes backup_gcs_bucket_location backup_gcs_storage_class backup_gcs_user_agent
    backup_gcs_proxy_url`,
    of('Google'),
  ),
  ...all(
    `backup_ceph_conf backup_ceph_user backup_ceph_pool backup_ceph_chunk_size backup_ceph_stripe_unit
    backup_ceph_stripe_count backup_ceph_image_journals backup_ceph_max_snapshots
    restore_discard_excess_bytes`,
    of('Ceph'),
  ),
};

/** The reason in words. */
export const leftOutReason = (row: LeftOut): string =>
  'because' in row
    ? row.because
    : `it describes a repository of kind ${row.repository}, which is no setting: see basaltctl repository --help`;
