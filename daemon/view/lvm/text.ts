/** The text in which LVM2 describes a group: sections of names, numbers, strings and lists of them. Source: lvm.conf(5), LVM2
 *  lib/config. Pure. Promises: work and depth are bounded by the length of the text; what is no such text is a failure. */

import { Fault } from '../../base/faults.ts';

export type TextValue = number | string | readonly (number | string)[];
export type Section = ReadonlyMap<string, TextValue | Section>;

const depthMax = 8;
const tokens = /\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|(-?\d{1,16})(?![\w.])|([\w.+-]+)|([{}[\]=,])/gy;

type Token =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'word' | 'mark'; readonly text: string };

export function parseText(text: string): Section {
  const parser = new Parser(text.replace(/\0.*$/s, ''));
  return parser.section(0);
}

class Parser {
  readonly #text: string;
  #at = 0;
  #next: Token | undefined;

  constructor(text: string) {
    this.#text = text;
    this.#next = this.#read();
  }

  /** Up to the brace that ends it, or the end of the text. */
  section(depth: number): Section {
    if (depth > depthMax) throw damaged('it is nested too deeply');
    const section = new Map<string, TextValue | Section>();
    for (let token = this.#take(); token !== undefined; token = this.#take()) {
      if (token.kind === 'mark' && token.text === '}' && depth > 0) return section;
      // A name may be all digits.
      const name =
        token.kind === 'number' ? String(token.value) : token.kind === 'word' ? token.text : undefined;
      if (name === undefined) throw damaged('a name is missing');
      const mark = this.#take();
      if (mark?.kind !== 'mark') throw damaged('a value is missing');
      if (mark.text === '{') section.set(name, this.section(depth + 1));
      else if (mark.text === '=') section.set(name, this.#value());
      else throw damaged('a value is missing');
    }
    if (depth > 0) throw damaged('it ends too early');
    return section;
  }

  #value(): TextValue {
    const token = this.#take();
    if (token?.kind === 'mark' && token.text === '[') return this.#list();
    return single(token);
  }

  #list(): (number | string)[] {
    const list: (number | string)[] = [];
    for (let token = this.#take(); ; token = this.#take()) {
      if (token?.kind === 'mark' && token.text === ']') return list;
      if (token?.kind === 'mark' && token.text === ',') continue;
      list.push(single(token));
    }
  }

  #take(): Token | undefined {
    const token = this.#next;
    this.#next = token && this.#read();
    return token;
  }

  #read(): Token | undefined {
    while (this.#at < this.#text.length) {
      tokens.lastIndex = this.#at;
      const match = tokens.exec(this.#text);
      if (match === null) throw damaged('a letter that can not be there');
      this.#at = tokens.lastIndex;
      const [, text, digits, word, mark] = match;
      if (text !== undefined) return { kind: 'text', text: text.replaceAll(/\\(.)/g, '$1') };
      if (digits !== undefined) return { kind: 'number', value: Number(digits) };
      if (word !== undefined) return { kind: 'word', text: word };
      if (mark !== undefined) return { kind: 'mark', text: mark };
    }
    return undefined;
  }
}

function single(token: Token | undefined): number | string {
  if (token?.kind === 'number') return token.value;
  if (token?.kind === 'text') return token.text;
  throw damaged('a value is missing');
}

const damaged = (why: string): Fault =>
  new Fault('FILE_DAMAGED', `Cannot read the description of a group of LVM: ${why}`);

export const sectionAt = (section: Section, name: string): Section => {
  const value = section.get(name);
  return value instanceof Map ? value : new Map();
};

/** A number that counts something; undefined where there is none. */
export function countAt(section: Section, name: string): number | undefined {
  const value = section.get(name);
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

export function textAt(section: Section, name: string): string | undefined {
  const value = section.get(name);
  return typeof value === 'string' ? value : undefined;
}

export function listAt(section: Section, name: string): readonly (number | string)[] {
  const value = section.get(name);
  return Array.isArray(value) ? value : [];
}
