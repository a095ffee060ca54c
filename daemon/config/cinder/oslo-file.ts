/** Reads the file format of oslo.config, which cinder.conf is written in. Pure.
 *  Promises: any text gives either its options or a fault that names the line; sections, continuation lines, comments, quotes and
 *  repeated options are taken as oslo.config takes them. What it does not know: which options there are. */

import { Fault } from '../../base/faults.ts';

/** Values of the options of a section, by their names; the last one of an option that is given several times. */
export type OsloSection = ReadonlyMap<string, string>;

export interface OsloFile {
  /** `DEFAULT` has that spelling, every other name is in lower case. */
  readonly sections: ReadonlyMap<string, OsloSection>;
}

const refuse = (path: string, line: number, why: string): Fault =>
  new Fault('CONFIG_INVALID', `Cannot read "${path}": line ${line}: ${why}`, {
    hint: 'Correct the file, or hand over one that a Cinder starts with',
  });

/** CONFIG_INVALID where `text` is no such file; `path` is for the fault alone. */
export function parseOsloFile(text: string, path: string): OsloFile {
  const sections = new Map<string, Map<string, string>>();
  let section = sectionOf(sections, 'DEFAULT');
  /** The option that a continuation line would go on with. */
  let open: string | undefined;
  for (const [at, full] of text.split(/\r\n|\n|\r/).entries()) {
    const line = full.trimEnd();
    const isContinued = /^[ \t]/.test(line);
    if (line === '') open = undefined;
    else if (isContinued && open === undefined) throw refuse(path, at + 1, 'it continues nothing');
    else if (isContinued && open !== undefined)
      section.set(open, `${section.get(open) ?? ''}\n${line.trimStart()}`);
    else {
      open = undefined;
      if (line.startsWith('[')) {
        const name = /^\[(.+)\]$/.exec(line)?.[1];
        if (name === undefined) throw refuse(path, at + 1, 'a section is written as [name]');
        section = sectionOf(sections, name === 'DEFAULT' ? name : name.toLowerCase());
      } else if (!/^[#;]/.test(line)) {
        const [name, value] = splitAssignment(line) ?? [];
        if (name === undefined || value === undefined)
          throw refuse(path, at + 1, 'an option is written as name = value');
        section.set(name, value);
        open = name;
      }
    }
  }
  return { sections };
}

function sectionOf(sections: Map<string, Map<string, string>>, name: string): Map<string, string> {
  const known = sections.get(name) ?? new Map<string, string>();
  sections.set(name, known);
  return known;
}

/** The first of `=` and `:` ends the name; one pair of quotes around the whole value is none of it. */
function splitAssignment(line: string): [name: string, value: string] | undefined {
  const end = line.search(/[=:]/);
  const name = line.slice(0, Math.max(end, 0)).trim();
  if (name === '') return undefined;
  const value = line.slice(end + 1).trim();
  const isQuoted = /^["']/.test(value) && value.at(-1) === value[0];
  return [name, isQuoted ? value.slice(1, -1) : value];
}

/** Longest value, with all that it refers to. */
const valueLengthMax = 65_536;

/** `value` with every `$name`, `${name}` and `${section.name}` in place of what it stands for; undefined where one of them is not
 *  known, stands for itself, or grows beyond all bounds. `\$` and `$$` are a dollar sign. `lookUp` gives a value as it is written. */
export function substitute(value: string, lookUp: (name: string) => string | undefined): string | undefined {
  // Each name is looked at once, so that names of names of names take no time; while it is, it is not known.
  const known = new Map<string, string | undefined>();
  const meaningOf = (name: string): string | undefined => {
    if (known.has(name)) return known.get(name);
    known.set(name, undefined);
    const written = lookUp(name);
    known.set(name, written === undefined ? undefined : expand(written));
    return known.get(name);
  };
  const reference = /\$(?:(\$)|([_a-z][._a-z0-9]*)|\{([_a-z][._a-z0-9]*)\})/gi;
  const expand = (text: string): string | undefined => {
    const parts: string[] = [];
    let [length, end] = [0, 0];
    const plain = text.replaceAll('\\$', '$$$$');
    for (const { 0: all, 1: dollar, 2: bare, 3: braced, index } of plain.matchAll(reference)) {
      const meaning = dollar ?? meaningOf(bare ?? braced ?? '');
      if (meaning === undefined) return undefined;
      length += index - end + meaning.length;
      if (length > valueLengthMax) return undefined;
      parts.push(plain.slice(end, index), meaning);
      end = index + all.length;
    }
    parts.push(plain.slice(end));
    return length + plain.length - end > valueLengthMax ? undefined : parts.join('');
  };
  return expand(value);
}

/** The truth value that oslo.config reads from `text`. */
export function osloBoolean(text: string): boolean | undefined {
  if (/^(true|1|yes|on)$/i.test(text.trim())) return true;
  return /^(false|0|no|off)$/i.test(text.trim()) ? false : undefined;
}
