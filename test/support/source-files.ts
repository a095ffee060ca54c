/** The files of this project as text, for tests that hold all of them to a rule. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

export interface SourceFile {
  /** From the root of the project, with slashes. */
  readonly path: string;
  readonly text: string;
}

const made = /^(native\/build|node_modules|dist)\//;

/** Files below `folder` whose names end in one of `endings`, in the order of their paths. A folder that has gone is an error. */
export function filesBelow(folder: string, endings: readonly string[]): SourceFile[] {
  return readdirSync(`${projectRoot}${folder}`, { recursive: true, encoding: 'utf8' })
    .map((name) => `${folder}/${name}`)
    .filter((path) => !made.test(path) && endings.some((ending) => path.endsWith(ending)))
    .sort()
    .map((path) => ({ path, text: readFileSync(`${projectRoot}${path}`, 'utf8') }));
}

export const typeScript = (...folders: readonly string[]): SourceFile[] =>
  folders.flatMap((folder) => filesBelow(folder, ['.ts']));

/** Everything that is built into the daemon and the client. */
export const productFiles = (): SourceFile[] => [
  ...typeScript('daemon', 'client', 'native'),
  ...filesBelow('native', ['.cc', '.h']),
];

/** The text without comments; lines keep their numbers. Strings stay: a `//` in a string is no comment. */
export function withoutComments(text: string): string {
  const token = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replace(token, (found) => (/^\/[/*]/.test(found) ? found.replace(/[^\n]/g, ' ') : found));
}
