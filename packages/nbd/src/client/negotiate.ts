/** The client's side of the negotiation: structured replies, contexts, then the export. What the server says is checked. */
import { AppError } from "@mags/core";
import type { ByteReader } from "../protocol/byte-reader.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import { type Fields, readFields } from "../protocol/fields.ts";
import { countedText, encodeOption, GREETING_BYTES, OPTION_REPLY_HEADER_BYTES, u16, u32 } from "../protocol/options.ts";
import {
  HANDSHAKE,
  INFO,
  INIT_MAGIC,
  isOptionError,
  OPTION,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_MAGIC,
  TRANSMISSION,
} from "../protocol/values.ts";
import { type BlockSizes, DEFAULT_BLOCK_SIZES, readBlockSizes } from "./block-sizes.ts";

export interface NegotiatedExport {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** As the server sent them: see `TRANSMISSION`. */
  readonly flags: number;
  readonly blockSizes: BlockSizes;
  /** Number of each context that the server gives, by its name. */
  readonly contexts: ReadonlyMap<string, number>;
}

export interface ExportChoice {
  readonly exportName: string;
  readonly contexts: readonly string[];
}

const MAX_REPLY_BYTES = 8 * 1024;
/** Replies to one option. */
const MAX_REPLIES = 256;

/**
 * @throws ProtocolFault, what ended the connection, or AppError `internal` when the server refuses: no such export, no
 * structured replies.
 */
export async function negotiate(
  reader: ByteReader,
  write: (bytes: Buffer) => void,
  choice: ExportChoice,
): Promise<NegotiatedExport> {
  const greeting = await reader.take(GREETING_BYTES);
  if (greeting.readBigUInt64BE(0) !== INIT_MAGIC) throw new ProtocolFault("no greeting of an NBD server");
  if (greeting.readBigUInt64BE(8) !== OPTION_MAGIC) throw new ProtocolFault("a greeting of the old style");
  const offered = greeting.readUInt16BE(16);
  if ((offered & HANDSHAKE.fixedNewstyle) === 0) throw new ProtocolFault("a greeting of the old style");
  write(u32(HANDSHAKE.fixedNewstyle | (offered & HANDSHAKE.noZeroes)));

  /** Sends an option and gives what is answered to `take`, until the server agrees. */
  async function ask(option: number, data: Buffer, take: (type: number, fields: Fields) => void): Promise<void> {
    write(encodeOption(option, data));
    for (let replies = 0; replies < MAX_REPLIES; replies++) {
      const header = await reader.take(OPTION_REPLY_HEADER_BYTES);
      if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC || header.readUInt32BE(8) !== option)
        throw new ProtocolFault("a reply to an option that was not asked for");
      const type = header.readUInt32BE(12);
      const length = header.readUInt32BE(16);
      if (length > MAX_REPLY_BYTES) throw new ProtocolFault(`a reply to an option of ${length} bytes`);
      const body = await reader.take(length);
      if (isOptionError(type)) throw refused(choice.exportName, option, type);
      const fields = readFields(body, "a reply to an option");
      if (type === OPTION_REPLY.ack) return fields.end();
      take(type, fields);
    }
    throw new ProtocolFault("replies to an option without end");
  }

  await ask(OPTION.structuredReply, Buffer.alloc(0), (type) => unexpected(type));

  const name = countedText(choice.exportName);
  const contexts = new Map<string, number>();
  if (choice.contexts.length > 0) {
    const queries = [u32(choice.contexts.length), ...choice.contexts.map(countedText)];
    await ask(OPTION.setMetaContext, Buffer.concat([name, ...queries]), (type, fields) => {
      if (type !== OPTION_REPLY.metaContext) return unexpected(type);
      const id = fields.u32();
      const context = fields.text(fields.left);
      if (!choice.contexts.includes(context)) throw new ProtocolFault("a context that was not asked for");
      if (contexts.has(context) || [...contexts.values()].includes(id)) throw new ProtocolFault("a context twice");
      contexts.set(context, id);
    });
  }

  let size: { readonly sizeBytes: number; readonly flags: number } | undefined;
  let blockSizes = DEFAULT_BLOCK_SIZES;
  await ask(OPTION.go, Buffer.concat([name, u16(1), u16(INFO.blockSize)]), (type, fields) => {
    if (type !== OPTION_REPLY.info) return unexpected(type);
    const kind = fields.u16();
    if (kind === INFO.export) {
      const bytes = fields.u64();
      if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw new ProtocolFault("the size of an export that cannot be");
      size = { sizeBytes: Number(bytes), flags: fields.u16() };
      fields.end();
    } else if (kind === INFO.blockSize) {
      blockSizes = readBlockSizes(fields);
    }
  });
  if (!size) throw new ProtocolFault("an export without its size");
  if (size.sizeBytes % blockSizes.minimum !== 0) throw new ProtocolFault("a size that is no multiple of its blocks'");
  return { ...size, readOnly: (size.flags & TRANSMISSION.readOnly) !== 0, blockSizes, contexts };
}

function unexpected(type: number): never {
  throw new ProtocolFault(`a reply of type ${type} to an option that has none`);
}

function refused(exportName: string, option: number, type: number): AppError {
  const what =
    type === OPTION_REPLY.unknown
      ? `there is no export "${exportName}"`
      : option === OPTION.structuredReply
        ? "it has no structured replies"
        : `option ${option} was answered with error ${type & 0xffff}`;
  return new AppError("internal", `the NBD server refused: ${what}`);
}
