/** The guest sent what the protocol does not allow. Never leaves this folder: the connection reports it and ends. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}
