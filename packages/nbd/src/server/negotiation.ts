/**
 * The server's side of the negotiation. A client that asks for what there is not, or asks badly, is told so and may go
 * on; one that does not speak the protocol is let go.
 */
import { ProtocolFault } from "../protocol/fault.ts";
import { type Fields, readFields } from "../protocol/fields.ts";
import {
  countedText,
  encodeGreeting,
  encodeOptionReply,
  OPTION_HEADER_BYTES,
  u16,
  u32,
  u64,
} from "../protocol/options.ts";
import { HANDSHAKE, INFO, OPTION, OPTION_MAGIC, OPTION_REPLY, TRANSMISSION } from "../protocol/values.ts";
import type { NbdExport, NbdExports } from "./export.ts";
import { MAX_OPTION_BYTES, MAX_READ_BYTES, PREFERRED_READ_BYTES } from "./limits.ts";
import { selectContexts } from "./meta-context.ts";
import type { Peer } from "./peer.ts";

/** What a client has chosen. */
export interface NbdSession {
  readonly name: string;
  readonly source: NbdExport;
  readonly structured: boolean;
  /** It may ask for `base:allocation`. */
  readonly allocation: boolean;
}

const RESERVED_BYTES = 124;

/** @returns null when the client leaves without having chosen. @throws ProtocolFault, or what ended the connection. */
export async function negotiate(peer: Peer, exports: NbdExports): Promise<NbdSession | null> {
  const { reader } = peer;
  let structured = false;
  /** Of which export the client has selected `base:allocation`. */
  let allocationOf: string | null = null;

  await peer.send([encodeGreeting()]);
  const flags = (await reader.take(4)).readUInt32BE();
  if ((flags & ~(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes)) !== 0)
    throw new ProtocolFault("flags that nobody offered");

  const sessionOf = (name: string, source: NbdExport): NbdSession => ({
    name,
    source,
    structured,
    allocation: allocationOf === name,
  });
  const transmissionFlags = () =>
    TRANSMISSION.hasFlags | TRANSMISSION.readOnly | TRANSMISSION.canMultiConn | (structured ? TRANSMISSION.sendDf : 0);

  /** Answers one option. @returns the session when it begins, null when the client leaves, else nothing. */
  async function answer(option: number, fields: Fields): Promise<NbdSession | null | undefined> {
    const reply = (type: number, data?: Buffer) => peer.send([encodeOptionReply(option, type, data)]);
    switch (option) {
      case OPTION.exportName: {
        const name = fields.text(fields.left);
        const source = await exports.find(name);
        if (!source) throw new ProtocolFault("the name of an export that there is not");
        const zeroes = (flags & HANDSHAKE.noZeroes) !== 0 ? 0 : RESERVED_BYTES;
        await peer.send([u64(source.sizeBytes), u16(transmissionFlags()), Buffer.alloc(zeroes)]);
        return sessionOf(name, source);
      }
      case OPTION.abort:
        await reply(OPTION_REPLY.ack);
        return null;
      case OPTION.list:
        fields.end();
        for (const name of exports.list?.() ?? []) await reply(OPTION_REPLY.server, countedText(name));
        await reply(OPTION_REPLY.ack);
        return undefined;
      case OPTION.info:
      case OPTION.go: {
        const name = fields.countedText();
        for (let requests = fields.u16(); requests > 0; requests--) fields.u16(); // all there is to know is told
        fields.end();
        const source = await exports.find(name);
        if (!source) {
          await reply(OPTION_REPLY.unknown, Buffer.from("there is no export of that name"));
          return undefined;
        }
        const sizes = [1, PREFERRED_READ_BYTES, MAX_READ_BYTES].map(u32);
        await reply(
          OPTION_REPLY.info,
          Buffer.concat([u16(INFO.export), u64(source.sizeBytes), u16(transmissionFlags())]),
        );
        await reply(OPTION_REPLY.info, Buffer.concat([u16(INFO.blockSize), ...sizes]));
        await reply(OPTION_REPLY.ack);
        return option === OPTION.go ? sessionOf(name, source) : undefined;
      }
      case OPTION.structuredReply:
        fields.end();
        structured = true;
        await reply(OPTION_REPLY.ack);
        return undefined;
      case OPTION.listMetaContext:
      case OPTION.setMetaContext: {
        const set = option === OPTION.setMetaContext;
        if (set) allocationOf = null;
        const { exportName, allocation } = selectContexts(fields, { wildcards: !set });
        if (!structured) throw new ProtocolFault("contexts without structured replies");
        if (!(await exports.find(exportName))) {
          await reply(OPTION_REPLY.unknown, Buffer.from("there is no export of that name"));
          return undefined;
        }
        if (allocation) await reply(OPTION_REPLY.metaContext, allocation);
        if (allocation && set) allocationOf = exportName;
        await reply(OPTION_REPLY.ack);
        return undefined;
      }
      default: // STARTTLS among them
        await reply(OPTION_REPLY.unsupported);
        return undefined;
    }
  }

  for (;;) {
    const header = await reader.take(OPTION_HEADER_BYTES);
    if (header.readBigUInt64BE(0) !== OPTION_MAGIC) throw new ProtocolFault("an option without its magic number");
    const option = header.readUInt32BE(8);
    const length = header.readUInt32BE(12);
    if (length > MAX_OPTION_BYTES) {
      if (option === OPTION.exportName) throw new ProtocolFault("a name that is too long");
      await reader.skip(length);
      await peer.send([encodeOptionReply(option, OPTION_REPLY.tooBig)]);
      continue;
    }
    const data = await reader.take(length);
    try {
      const outcome = await answer(option, readFields(data, "an option"));
      if (outcome !== undefined) return outcome;
    } catch (error) {
      if (!(error instanceof ProtocolFault) || option === OPTION.exportName) throw error;
      await peer.send([encodeOptionReply(option, OPTION_REPLY.invalid, Buffer.from(error.message))]);
    }
  }
}
