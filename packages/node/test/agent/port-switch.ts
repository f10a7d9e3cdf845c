/**
 * What QEMU's character devices are to the agent: its ports stay open while hosts come and go. A host that goes may leave
 * half a frame behind, and what was on its way to it is lost.
 */
import { type Duplex, duplexPair } from "node:stream";

export interface PortSwitch {
  /** Plugs a new host in. */
  plug(): Duplex;
  /** Unplugs the host at once. */
  cut(): void;
  /** Unplugs it when so many more bytes have gone to the host (or to the guest). Resolves then. */
  cutAfter(bytes: number, direction: "to-host" | "to-guest"): Promise<void>;
  readonly bytesToHost: number;
  readonly bytesToGuest: number;
}

interface Budget {
  readonly direction: "to-host" | "to-guest";
  left: number;
  readonly done: () => void;
}

export function createPortSwitch(guest: Duplex): PortSwitch {
  let host: Duplex | undefined;
  let budget: Budget | undefined;
  let bytesToHost = 0;
  let bytesToGuest = 0;

  function cut(): void {
    host?.destroy();
    host = undefined;
    const ended = budget;
    budget = undefined;
    ended?.done();
  }

  /** Passes on what the budget allows, and cuts when it is used up. */
  function pass(chunk: Buffer, to: Duplex, direction: Budget["direction"]): boolean {
    if (budget?.direction !== direction) return to.write(chunk);
    const part = chunk.subarray(0, budget.left);
    budget.left -= part.length;
    const more = part.length === 0 || to.write(part);
    if (budget.left === 0) cut();
    return more;
  }

  guest.on("data", (chunk: Buffer) => {
    if (!host) return; // lost
    bytesToHost += chunk.length;
    if (!pass(chunk, host, "to-host")) guest.pause();
  });

  return {
    plug() {
      cut();
      const [near, far] = duplexPair();
      host = far;
      near.on("error", () => {});
      far.on("error", () => {});
      far.on("drain", () => guest.resume());
      far.on("data", (chunk: Buffer) => {
        if (host !== far) return;
        bytesToGuest += chunk.length;
        if (!pass(chunk, guest, "to-guest")) {
          far.pause();
          guest.once("drain", () => far.resume());
        }
      });
      guest.resume();
      return near;
    },
    cut,
    cutAfter(bytes, direction) {
      return new Promise((done) => {
        budget = { direction, left: bytes, done };
      });
    },
    get bytesToHost() {
      return bytesToHost;
    },
    get bytesToGuest() {
      return bytesToGuest;
    },
  };
}
