/** The other side sent what the protocol does not allow. The message goes on after "sent": "a request without its magic number". */
export class ProtocolFault extends Error {}
