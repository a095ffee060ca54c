import { join } from 'node:path';
import { folderForTest } from '../support/devices.ts';
import { FakeStorage } from '../support/fake-connector.ts';
import { connectorContract } from './connector.ts';

/** The one that tests of attachments rest on keeps the contract, too. */
connectorContract('the storage of tests', async () => {
  const storage = new FakeStorage(join(folderForTest(), 'storage'));
  const bytes = Buffer.alloc(8192, 3);
  storage.show('a', bytes);
  const url = 'fake://user:swordfish@portal/a';
  return { connector: storage.connector(), url, bytes, secrets: ['swordfish'], left: () => storage.left() };
});
