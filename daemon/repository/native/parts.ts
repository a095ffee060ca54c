/** What the rooms of a native repository share: handed in once, by who opens it. */

import type { BlockIndex, Native } from '../../../native/native.ts';
import type { RepositoryConfig } from '../../format/manifest.ts';
import type { HashFunction } from '../../format/pack.ts';
import type { Storage } from '../../storage/storage.ts';

export interface NativeParts {
  readonly storage: Storage;
  readonly index: BlockIndex;
  readonly hash: HashFunction;
  readonly decode: Native['decode'];
  readonly config: RepositoryConfig;
  /** zstd level for new blocks; 0 stores them raw. */
  readonly compressionLevel: number;
  /** True: nothing may be written, whatever the storage allows. */
  readonly readOnly?: boolean;
  /** Looks for packs that the index does not know yet; true where it has learnt of some. */
  readonly findNewPacks?: () => Promise<boolean>;
}
