import { MiB } from '../../daemon/base/bytes.ts';
import { contractBytes, deviceContract } from '../contract/device.ts';
import { loopOver, partitionOn, sparseFile } from '../support/devices.ts';

deviceContract('a loop device', () => {
  const path = loopOver(sparseFile(contractBytes));
  return { url: `loop://${path}`, path };
});

deviceContract('a loop device with sectors of 4096 bytes', () => {
  const path = loopOver(sparseFile(contractBytes), '--sector-size', '4096');
  return { url: `loop://${path}`, path };
});

deviceContract('a partition', () => {
  const path = partitionOn(loopOver(sparseFile(contractBytes + MiB)));
  return { url: `block://${path}`, path };
});
