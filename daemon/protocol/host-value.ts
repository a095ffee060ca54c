/** What this host says of itself to storages; see `values.ts`. */

/** The keys are Cinder's: this is its connector, unchanged. */
export interface ConnectorValue {
  /** "x86_64" */
  platform: string;
  os_type: string;
  host: string;
  ip: string;
  multipath: boolean;
  enforce_multipath: boolean;
  do_local_attach: boolean;
  /** Name of the iSCSI initiator. */
  initiator?: string;
  /** Ports of Fibre Channel that are online, and their adapters. */
  wwpns?: string[];
  wwnns?: string[];
  nqn: string;
  nvme_hostid: string;
  nvme_native_multipath: boolean;
  /** Of the firmware. */
  'system uuid'?: string;
}
