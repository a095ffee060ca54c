/** Where the objects of a Cinder repository are, as its reader needs it. A key is the container, a slash, and the name.
 *  Promises of whoever implements it: a key never leads outside the root; reading changes nothing. */

/** Tells two versions of one object apart without reading it. */
export interface Evidence {
  readonly sizeBytes: number;
  /** Changes whenever the object does. */
  readonly mark: string;
}

export interface Containers {
  /** For people. */
  readonly url: string;
  /** Fills `output` with the bytes at `position`. OBJECT_MISSING too where the object ends before. */
  read(key: string, position: number, output: Uint8Array): Promise<void>;
  /** Undefined where there is no such object. */
  evidence(key: string): Promise<Evidence | undefined>;
  /** Every object in one container. */
  list(container: string): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }>;
  /** Every object there is, with its container, in no promised order. */
  walk(): AsyncIterable<{ readonly container: string; readonly name: string; readonly sizeBytes: number }>;
  /** REPOSITORY_MISSING where the root is not there any more. */
  requireHere(): Promise<void>;
  freeBytes(): Promise<number | undefined>;
  close(): Promise<void>;
}
