/** Versions of the control protocol. The major changes when an old client would misread an answer. */
export const protocolVersion = { major: 1, minor: 0 } as const;
export const productVersion = '0.1.0';
