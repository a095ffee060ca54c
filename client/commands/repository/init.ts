/** `basaltctl repository init`: makes a repository. */

import { type Command, InvalidArgumentError } from 'commander';
import type { Params } from '../../../daemon/protocol/methods.ts';
import { parseBytes } from '../../output/units.ts';
import { defaultRepository, defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

type BlockBytes = NonNullable<Params<'repository.init'>['block_bytes']>;

export function addRepositoryInit(noun: Command): void {
  verb(noun, 'init', {
    summary: 'Makes the repository that the daemon was started with, or one that was added',
    details:
      'The block size is for good: smaller blocks find more that is alike, larger ones need less index.',
    examples: ['basaltctl repository init', 'basaltctl repository init --block-size 128KiB'],
    exits: [73, 74, 75],
  })
    .argument('[NAME]', 'name of the repository', defaultRepository)
    .option('--block-size <SIZE>', '16, 32, 64, 128 or 256 KiB (64 KiB)', blockSize)
    .action(
      inSession(async (session, options: { blockSize?: BlockBytes }, name: string) => {
        const params = { name, ...defined({ block_bytes: options.blockSize }) };
        await session.one(await session.call('repository.init', params));
      }),
    );
}

/** Which sizes there are is the daemon's to say: here only a number is made of the text. */
function blockSize(text: string): BlockBytes {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError('A size is written as 65536, 64K or 64KiB.');
  return bytes as BlockBytes;
}
