import { sparseFile } from '../support/devices.ts';
import { contractBytes, deviceContract } from './device.ts';

deviceContract('a regular file', () => {
  const path = sparseFile(contractBytes);
  return { url: `file://${path}`, path };
});
