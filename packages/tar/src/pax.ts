/** Extended headers of POSIX: records `<length> <key>=<value>\n` that replace fields of the header after them. */
import { badArchive } from "./header.ts";

export interface PaxFields {
  readonly path?: string;
  readonly linkPath?: string;
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly sparse: boolean;
}

const XATTR = "SCHILY.xattr.";
/**
 * What programs in a guest need of extended attributes: capabilities of executables, and what users set. Those of
 * overlayfs (`trusted.*`) would be taken for its own marks.
 */
const KEPT_XATTRS = /^(security\.capability$|user\.)/;

export function parsePax(body: Buffer, offset: number): PaxFields {
  const values = new Map<string, Buffer>();
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = body.toString("latin1", at, Math.min(space, at + 12));
    const length = /^\d+$/.test(digits) ? Number(digits) : 0;
    const equals = body.indexOf(0x3d, space);
    const end = at + length;
    if (space < 0 || equals < 0 || equals >= end || end > body.length || body[end - 1] !== 0x0a)
      throw badArchive(`the extended header at byte ${offset} is damaged`);
    values.set(body.toString("latin1", space + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  const text = (key: string) => {
    const value = values.get(key)?.toString("latin1");
    if (value?.includes("\0")) throw badArchive(`the extended header at byte ${offset} holds a name with a zero byte`);
    return value;
  };
  const number = (key: string) => {
    const value = values.get(key);
    if (value === undefined) return undefined;
    const parsed = /^-?\d+(\.\d*)?$/.test(value.toString("latin1")) ? Math.floor(Number(value)) : Number.NaN;
    if (!Number.isSafeInteger(parsed)) throw badArchive(`the extended header at byte ${offset} has a bad ${key}`);
    return parsed;
  };
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of values) {
    const name = key.startsWith(XATTR) ? key.slice(XATTR.length) : "";
    if (KEPT_XATTRS.test(name)) xattrs.set(name, Buffer.from(value));
  }
  return {
    ...defined("path", text("path")),
    ...defined("linkPath", text("linkpath")),
    ...defined("size", number("size")),
    ...defined("uid", number("uid")),
    ...defined("gid", number("gid")),
    ...defined("mtime", number("mtime")),
    xattrs,
    sparse: [...values.keys()].some((key) => key.startsWith("GNU.sparse.")),
  };
}

function defined<K extends string, V>(key: K, value: V | undefined): { readonly [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V });
}

/** One record; its length counts its own digits. */
export function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
