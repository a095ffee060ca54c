/** Pages that are made from tables must be as the tables have them. `UPDATE_DOCS=1` writes them anew. */

import { readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { renderSettings } from '../../daemon/config/render.ts';
import { settingNames } from '../../daemon/config/settings.ts';
import { methods } from '../../daemon/protocol/methods.ts';
import { renderProtocol } from '../../daemon/protocol/render.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): Promise<string> => readFile(new URL(path, root), 'utf8');

const valuesText = async (): Promise<string> => {
  const more = await read('daemon/protocol/host-value.ts');
  return `${await read('daemon/protocol/values.ts')}\n${more.slice(more.indexOf('/** The keys'))}`;
};

const protocolPage = async (): Promise<string> =>
  renderProtocol({
    methods:
      (await read('daemon/protocol/methods.ts')) +
      (await read('daemon/protocol/volume-methods.ts')) +
      (await read('daemon/protocol/device-methods.ts')) +
      (await read('daemon/protocol/file-methods.ts')) +
      (await read('daemon/protocol/project-methods.ts')),
    values: await valuesText(),
  });

const pages = [
  { path: 'docs/settings.md', render: async () => renderSettings() },
  { path: 'docs/protocol.md', render: protocolPage },
] as const;

for (const { path, render } of pages) {
  test(`${path} says what the tables say`, async () => {
    const page = await render();
    // oxlint-disable-next-line vitest/no-conditional-tests
    if (process.env['UPDATE_DOCS'] === '1') await writeFile(new URL(path, root), page);
    expect(await read(path)).toBe(page);
  });
}

test('the pages name every setting and every method, each with its result', async () => {
  const settings = renderSettings();
  for (const name of settingNames) expect(settings).toContain(`\n## ${name}\n`);
  const protocol = await protocolPage();
  for (const name of Object.keys(methods)) expect(protocol).toContain(`\n### ${name}\n`);
  expect(protocol).not.toContain('`unknown`');
});
