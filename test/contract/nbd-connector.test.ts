import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MiB } from '../../daemon/base/bytes.ts';
import { nbdConnector } from '../../daemon/devices/connect/nbd/nbd.ts';
import { folderForTest } from '../support/devices.ts';
import { serveNbd } from '../support/nbd-server.ts';
import { noise } from '../support/volume-model.ts';
import { connectorContract } from './connector.ts';

connectorContract('NBD', async () => {
  const bytes = noise(2 * MiB, 1);
  const image = join(folderForTest(), 'image');
  writeFileSync(image, bytes);
  const { url } = await serveNbd(image);
  // Its programs are in the folder of the attachment, and end with what is mounted there.
  return { connector: nbdConnector(), url, bytes, secrets: [], left: () => [] };
});
