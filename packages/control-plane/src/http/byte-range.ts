/** A part of a file, by the header `Range` (RFC 9110, section 14). */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * @returns null for the whole: there is no range, one of another form, or of several parts, which a server may ignore;
 * `unsatisfiable` when it begins behind the end.
 */
export function byteRange(header: string | undefined, sizeBytes: number): ByteRange | null | "unsatisfiable" {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "") ?? [];
  if (first === "" && last === "") return null;
  if (first === "") {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? "unsatisfiable" : { offset: sizeBytes - length, length };
  }
  const offset = Number(first);
  if (last !== "" && Number(last) < offset) return null;
  if (offset >= sizeBytes) return "unsatisfiable";
  const end = last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return { offset, length: end - offset };
}
