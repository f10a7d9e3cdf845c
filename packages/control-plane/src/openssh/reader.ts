/**
 * Reads what OpenSSH encodes as RFC 4251 says: lengths are checked before anything is taken.
 * @throws Error when the bytes end too early, or do not end where they are said to.
 */
export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  bytes(count: number): Buffer {
    if (count > this.#bytes.length - this.#at) throw new Error("it ends too early");
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  uint32(): number {
    return this.bytes(4).readUInt32BE();
  }

  /** `string` of the RFC. */
  blob(): Buffer {
    return this.bytes(this.uint32());
  }

  /** A `string` that holds ASCII. */
  text(): string {
    return this.blob().toString("latin1");
  }

  /** A positive `mpint`, without its leading zeros. */
  positive(): Buffer {
    const bytes = this.blob();
    if (bytes.length === 0 || ((bytes[0] ?? 0) & 0x80) !== 0) throw new Error("a number in it is not positive");
    let at = 0;
    while (at < bytes.length - 1 && bytes[at] === 0) at++;
    return bytes.subarray(at);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new Error("there is more than belongs to it");
  }
}
