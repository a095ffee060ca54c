/** The table of faults, for whoever speaks the protocol: the client takes exit statuses and hints from here and nowhere
 *  else. Knows nothing beyond what base has. */

export { errnoOf, Fault, type FaultCode, faults, isFaultCode, toFault } from '../base/faults.ts';
