/** `basaltctl repository init`: makes a repository. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Params } from '../../../daemon/protocol/methods.ts';
import { parseBytes } from '../../output/units.ts';
import { defaultRepository, defined } from '../../session.ts';
import { inSession, verb } from '../../verb.ts';

type Wishes = Params<'repository.init'>;

interface Options {
  readonly kind?: NonNullable<Wishes['kind']>;
  readonly blockSize?: number;
  readonly compression?: NonNullable<Wishes['compression']>;
  readonly objectSize?: number;
  readonly hashBlockSize?: number;
}

export function addRepositoryInit(noun: Command): void {
  verb(noun, 'init', {
    summary: 'Makes the repository that the daemon was started with, or one that was added',
    details:
      'The URL says the kind. In our own format the block size is for good: smaller blocks find more that is alike, larger ones ' +
      "need less index. In Cinder's format, the unmodified driver restores what Basalt writes, and goes on with its own " +
      'incrementals; on a folder that has backups of Cinder it lets Basalt write there, too. Its objects have 50 MiB by default, ' +
      "which is Cinder's own size for object stores: of one of 1.86 GiB, its default for folders, a restore by Cinder takes 6 GB " +
      'of memory.',
    examples: [
      'basaltctl repository init',
      'basaltctl repository init --block-size 128KiB',
      'basaltctl repository init handed-over --kind cinder --compression zstd --object-size 200MiB',
    ],
    exits: [64, 73, 74, 75],
  })
    .argument('[REPOSITORY]', 'name of the repository', defaultRepository)
    .addOption(new Option('--kind <KIND>', 'kind that the URL must mean').choices(['native', 'cinder']))
    .option('--block-size <SIZE>', '16, 32, 64, 128 or 256 KiB (64 KiB); only of our own format', size)
    .addOption(
      new Option('--compression <NAME>', "only of Cinder's format (zlib)").choices([
        'zlib',
        'bz2',
        'zstd',
        'none',
      ]),
    )
    .option('--object-size <SIZE>', "a multiple of the hash block; only of Cinder's format (50 MiB)", size)
    .option('--hash-block-size <SIZE>', "a power of two up to 1 MiB; only of Cinder's format (32 KiB)", size)
    .action(
      inSession(async (session, options: Options, name: string) => {
        const wishes = defined({
          kind: options.kind,
          block_bytes: options.blockSize,
          compression: options.compression,
          object_bytes: options.objectSize,
          hash_block_bytes: options.hashBlockSize,
        });
        // Which sizes there are is the daemon's to say: here only numbers are made of the texts.
        const params = { name, ...wishes } as Wishes;
        await session.one(await session.call('repository.init', params));
      }),
    );
}

function size(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) throw new InvalidArgumentError('A size is written as 65536, 64K or 64KiB.');
  return bytes;
}
