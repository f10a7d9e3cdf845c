import { Duplex } from "node:stream";
import type { GuestSocket } from "@mags/domain";

/** A connection to a guest, which it owns, as what Node's HTTP client talks over. */
export class GuestStream extends Duplex {
  readonly #socket: GuestSocket;
  /** Closes it when nobody has used it for so long. */
  #late: NodeJS.Timeout | undefined;
  #isResting = false;

  constructor(socket: GuestSocket) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.once("end", () => {
      if (this.#isResting) this.destroy();
    });
  }

  override _read(): void {
    this.#socket.read().then(
      (bytes) => void this.push(bytes),
      (error: unknown) => void this.destroy(lostBy(error)),
    );
  }

  override _write(bytes: Uint8Array, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#socket.write(bytes).then(
      () => done(),
      (error: unknown) => done(lostBy(error)),
    );
  }

  override _writev(pieces: { readonly chunk: Uint8Array }[], done: (error?: Error) => void): void {
    this._write(Buffer.concat(pieces.map(({ chunk }) => chunk)), "binary", done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#socket.end().then(
      () => done(),
      (error: unknown) => done(lostBy(error)),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#late);
    this.#socket.close();
    done(error);
  }

  /** Nobody uses it: it is closed when the guest ends it, and after so long. */
  rest(ms: number): void {
    this.#isResting = true;
    this.#late = setTimeout(() => this.destroy(), ms).unref();
  }

  /** Somebody does again. */
  work(): void {
    this.#isResting = false;
    clearTimeout(this.#late);
  }

  /** Node asks these of each socket; there is nothing of the kind to set here. */
  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }
}

/** As a socket of Node says it. What became of the guest, or of the way there, is not for its clients to know. */
const lostBy = (cause: unknown) =>
  Object.assign(new Error("the connection to the guest was lost", { cause }), { code: "ECONNRESET" });
