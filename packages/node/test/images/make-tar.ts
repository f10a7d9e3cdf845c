/** Archives for tests, wrong ones too: nothing is checked. */
import { BLOCK_BYTES, checksumOf, paxRecord } from "@mags/tar";

export interface MadeEntry {
  /** UTF-8; cut to 100 bytes unless an extension carries it. */
  readonly path: string;
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly linkPath?: string;
  readonly body?: Buffer;
  /** What the header claims. Default: the body's. */
  readonly size?: number;
  readonly pax?: Readonly<Record<string, string>>;
  readonly rawPax?: Buffer;
  readonly gnuLongName?: string;
}

export function tarFile(entries: readonly MadeEntry[]): Buffer {
  return Buffer.concat([...entries.map(entryBytes), Buffer.alloc(2 * BLOCK_BYTES)]);
}

function entryBytes(entry: MadeEntry): Buffer {
  const parts: Buffer[] = [];
  const records = Object.entries(entry.pax ?? {}).map(([key, value]) => paxRecord(key, Buffer.from(value)));
  const pax = entry.rawPax ?? Buffer.concat(records);
  if (pax.length > 0) parts.push(header({ path: "pax", type: "x", body: pax }), padded(pax));
  if (entry.gnuLongName !== undefined) {
    const body = Buffer.from(`${entry.gnuLongName}\0`);
    parts.push(header({ path: "././@LongLink", type: "L", body }), padded(body));
  }
  return Buffer.concat([...parts, header(entry), padded(entry.body ?? Buffer.alloc(0))]);
}

function header(entry: MadeEntry): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const size = entry.size ?? entry.body?.length ?? 0;
  block.write(entry.path, 0, 100, "utf8");
  block.write((entry.mode ?? 0o644).toString(8).padStart(7, "0"), 100);
  block.write((entry.uid ?? 0).toString(8).padStart(7, "0"), 108);
  block.write((entry.gid ?? 0).toString(8).padStart(7, "0"), 116);
  if (size < 8 ** 11) block.write(size.toString(8).padStart(11, "0"), 124);
  else {
    block.writeBigUInt64BE(BigInt(size), 128);
    block[124] = 0x80;
  }
  block.write("0".padStart(11, "0"), 136);
  block.write(entry.type ?? "0", 156);
  block.write(entry.linkPath ?? "", 157, 100, "utf8");
  block.write("ustar\x0000", 257);
  block.write(`${checksumOf(block).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES)]);
}
