/** The contract of connectors, with iSCSI over one path, and over two with a map. */

import { iscsi } from '../../../daemon/devices/connect/iscsi/iscsi.ts';
import { connectorContract } from '../../contract/connector.ts';
import { iscsiUnderTest } from '../support/iscsi-under-test.ts';

const limitMs = 900_000;

connectorContract('iSCSI over one path', () => iscsiUnderTest(iscsi, 1), limitMs);
connectorContract('iSCSI over two paths', () => iscsiUnderTest(iscsi, 2), limitMs);
