/** `basaltctl config check`: checks a settings file without a daemon. The rules of the settings belong to `basaltd`, so
 *  this runs its check as a child and hands on what it says and how it ends. */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { Fault } from '../../../daemon/protocol/faults.ts';
import { verb } from '../../verb.ts';

export function addConfigCheck(noun: Command): void {
  verb(noun, 'check', {
    summary: 'Checks a settings file, without a running daemon',
    examples: ['basaltctl config check /etc/basalt/basaltd.toml'],
    exits: [66, 78],
    isOffline: true,
  })
    .argument('[FILE]', 'settings file; without it the one that basaltd would read')
    .action(async (file: string | undefined) => {
      const main = fileURLToPath(new URL('../../../daemon/main.js', import.meta.url));
      if (!existsSync(main)) {
        throw new Fault('INTERNAL', `Cannot check the settings: "${main}" is missing`, {
          hint: 'Build or install Basalt again: basaltctl and basaltd belong together',
        });
      }
      const words = ['config', 'check', ...(file === undefined ? [] : ['--config', file])];
      process.exitCode = await runChild(process.execPath, [main, ...words]);
    });
}

function runChild(program: string, words: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: 'inherit' });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
