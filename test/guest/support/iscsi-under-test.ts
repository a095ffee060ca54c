/** An array for the contract of connectors: a volume with noise, behind a target that asks for a secret. */

import { writeFileSync } from 'node:fs';
import type { Connector } from '../../../daemon/devices/connect/connector.ts';
import type { ConnectorUnderTest } from '../../contract/connector.ts';
import { noise } from '../../support/volume-model.ts';
import { leftovers } from './leftovers.ts';
import { laidLinks } from './links.ts';
import { ArrayVolume, portals, Target } from './lio.ts';
import { startIscsid, startMultipathd } from './services.ts';

const secret = 'a-secret-of-this-test';

export async function iscsiUnderTest(connector: Connector, paths: 1 | 2): Promise<ConnectorUnderTest> {
  await startIscsid();
  await startMultipathd();
  laidLinks();
  const bytes = noise(2 * 2 ** 20, 1);
  const volume = ArrayVolume.ofSize(bytes.length);
  writeFileSync(volume.device, bytes, { flush: true });
  const target = Target.start({ chap: { user: 'backup', password: secret } });
  target.addLun(2, volume);
  const several = paths === 2;
  const url = `iscsi://${portals.slice(0, paths).join(',')}/${target.iqn}/2?user=backup&password=${secret}`;
  return {
    connector,
    url,
    bytes,
    secrets: [secret],
    policy: { multipath: several, enforceMultipath: several, pathsMin: paths, timeoutMs: 120_000 },
    left: () => {
      const { sessions, nodes, maps, disks } = leftovers();
      return [...sessions, ...nodes, ...maps, ...disks];
    },
  };
}
