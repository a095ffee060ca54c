/** Two cables to a storage of its own: the network namespace "san" behind two pairs of veth, which can be cut and slowed down as
 *  cables and switches are.
 *    host 10.77.N.1 ── link N ── 10.77.N.2 san       N is 0 or 1
 *         fd00:77:N::1             fd00:77:N::2
 *  Promises: what is done to a link is undone when the test has finished. */

import { existsSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import { run } from '../../support/devices.ts';
import { modprobe } from './inside.ts';

export type Link = 0 | 1;
export const bothLinks: readonly Link[] = [0, 1];

export const hostAddress = (link: Link): string => `10.77.${link}.1`;
export const sanAddress = (link: Link): string => `10.77.${link}.2`;

const hostAddress6 = (link: Link): string => `fd00:77:${link}::1`;
export const sanAddress6 = (link: Link): string => (link === 0 ? 'fd00:77::2' : 'fd00:77:1::2');

/** Runs a program on the storage's side. */
export const onSan = (...words: readonly string[]): string =>
  run('nsenter', '--net=/run/netns/san', '--', ...words);

/** Makes the links where they are not there yet. They stay: sessions over them may outlive a test that failed. */
export function laidLinks(): void {
  if (existsSync('/run/netns/san')) return;
  modprobe('veth', 'sch_netem', 'ipv6');
  run('ip', 'netns', 'add', 'san');
  onSan('ip', 'link', 'set', 'lo', 'up');
  // Else a link that is cut loses its addresses of IPv6 for good.
  onSan('sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/all/keep_addr_on_down');
  for (const link of bothLinks) {
    run('ip', 'link', 'add', `link${link}`, 'type', 'veth', 'peer', 'name', `far${link}`, 'netns', 'san');
    run('ip', 'address', 'add', `${hostAddress(link)}/24`, 'dev', `link${link}`);
    run('ip', 'address', 'add', `${hostAddress6(link)}/64`, 'dev', `link${link}`, 'nodad');
    run('ip', 'link', 'set', `link${link}`, 'up');
    onSan('ip', 'address', 'add', `${sanAddress(link)}/24`, 'dev', `far${link}`);
    onSan('ip', 'address', 'add', `${sanAddress6(link)}/64`, 'dev', `far${link}`, 'nodad');
    onSan('ip', 'link', 'set', `far${link}`, 'up');
  }
}

export const restore = (link: Link): void => void onSan('ip', 'link', 'set', `far${link}`, 'up');

/** No packet comes through, and nobody is told: as when the cable behind the next switch is pulled. */
export function cut(link: Link): void {
  onSan('ip', 'link', 'set', `far${link}`, 'down');
  onTestFinished(() => restore(link));
}

export const undelay = (link: Link): void =>
  void onSan('sh', '-c', `tc qdisc del dev far${link} root 2>/dev/null || true`);

export function delay(link: Link, milliseconds: number): void {
  onSan('tc', 'qdisc', 'replace', 'dev', `far${link}`, 'root', 'netem', 'delay', `${milliseconds}ms`);
  onTestFinished(() => undelay(link));
}
