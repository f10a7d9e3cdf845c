import type { files } from "@mags/api-schema";
import type { GuestEntry, GuestFileInfo } from "@mags/domain";

/** JavaScript's last day: a guest may say any time. */
const MAX_TIME_MS = 8.64e15;

export function infoToWire(info: GuestFileInfo): files.FileInfoWire {
  return {
    type: info.type,
    mode: octal(info.mode),
    size: info.sizeBytes,
    mtime: timeOf(info).toISOString(),
    uid: info.uid,
    gid: info.gid,
    ...(info.target && asText("target", info.target)),
  };
}

export function entryToWire(entry: GuestEntry): files.FileEntryWire {
  const { name, ...rest } = asText("name", entry.name);
  return { name, ...rest, ...infoToWire(entry) };
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(3, "0");
}

/** Of the file's last change. */
export function timeOf({ mtimeMs }: GuestFileInfo): Date {
  return new Date(Math.min(mtimeMs, MAX_TIME_MS));
}

function asText<K extends string>(key: K, bytes: Buffer) {
  const text = bytes.toString("utf8");
  const exact = Buffer.from(text).equals(bytes);
  return { [key]: text, ...(!exact && { [`${key}_base64`]: bytes.toString("base64") }) } as Record<K, string>;
}
