/** A repository as it travels over the socket. */

import { toFault } from '../base/faults.ts';
import type { KnownRepository } from '../jobs/repositories.ts';
import type { RepositoryValue } from '../protocol/values.ts';

/** One that is not open is tried again, because whatever kept it shut may be over. */
export async function describeRepository(known: KnownRepository): Promise<RepositoryValue> {
  const { id: name, url, kind, read_only, holder } = known;
  const none = {
    name,
    url,
    kind,
    id: null,
    block_bytes: null,
    created_at: null,
    read_only,
    compression: null,
    object_bytes: null,
    hash_block_bytes: null,
  };
  try {
    const { id, blockBytes, createdAt, writes } = await holder.get();
    return {
      ...none,
      status: 'ready',
      id,
      block_bytes: blockBytes,
      created_at: createdAt,
      compression: writes?.compression ?? null,
      object_bytes: writes?.objectBytes ?? null,
      hash_block_bytes: writes?.hashBlockBytes ?? null,
    };
  } catch (thrown) {
    const { code } = toFault(thrown);
    return { ...none, status: code === 'REPOSITORY_MISSING' ? 'missing' : code };
  }
}
