/**
 * Tells clients which signatures are taken (RFC 8308, `server-sig-algs`), right behind the first key exchange, where they
 * ask for it. The list of ssh2 1.17.0 itself names SHA-1 and DSA, and leaves out two others by a missing comma.
 */
import type { Connection } from "ssh2";
import { KEY_TYPES } from "./algorithms.ts";

const EXT_INFO = 7;
const NAME = "server-sig-algs";

interface ProtocolInside {
  readonly _kex: { remoteExtInfoEnabled: boolean };
  readonly _cipher: { allocPacket(payloadBytes: number): Buffer; encrypt(packet: Buffer): void };
  _onHandshakeComplete(...negotiated: readonly unknown[]): void;
}

/** Of a packet: its length, and that of its padding. */
const HEAD_BYTES = 5;

/** Called once, before anybody else has the connection. */
export function tellSignatureAlgorithms(client: Connection): void {
  const { _protocol: protocol } = client as unknown as { readonly _protocol: ProtocolInside };
  const onHandshake = protocol._onHandshakeComplete;
  protocol._onHandshakeComplete = (...negotiated) => {
    protocol._onHandshakeComplete = onHandshake;
    const wants = protocol._kex.remoteExtInfoEnabled;
    protocol._kex.remoteExtInfoEnabled = false;
    onHandshake(...negotiated);
    if (!wants) return;
    const payload = extInfo([...KEY_TYPES].join(","));
    const packet = protocol._cipher.allocPacket(payload.length);
    packet.set(payload, HEAD_BYTES);
    protocol._cipher.encrypt(packet);
  };
}

function extInfo(algorithms: string): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const texts = [NAME, algorithms].flatMap((text) => [number(text.length), Buffer.from(text)]);
  return Buffer.concat([Buffer.from([EXT_INFO]), number(1), ...texts]);
}
