/**
 * Which port is which sandbox's, and whether gateways listen on it. Ports are chosen here and kept in the database;
 * gateways are told all of them whenever they change, and say which they cannot have.
 */
import { type Clock, type Logger, messageOf, withDeadline } from "@mags/core";
import type { SandboxId, SshDirectory } from "@mags/domain";
import type { PortRange, SshAccessStore } from "./ssh-access-store.ts";

/** How long one who asks for access waits for gateways. */
const PATIENCE_MS = 2_000;
/** After that a port is tried again that could not be listened on. */
const BAD_MS = 600_000;
const ATTEMPTS = 5;

export interface SshPorts {
  /**
   * The port of a sandbox that has a key, when every gateway listens on it, or 2 s have passed.
   * @returns null: there is none to be had; the sandbox is reached by the port of all.
   */
  ensure(sandboxId: SandboxId): Promise<number | null>;
  /** Whether it is, was or may become the port of one sandbox. */
  isJobPort(port: number): boolean;
  /** The sandbox has ended. */
  drop(sandboxId: SandboxId): void;
  readonly watch: SshDirectory["watchPorts"];
}

interface Watcher {
  readonly listener: (ports: ReadonlySet<number>) => Promise<readonly number[]>;
  /** Settles when it has been told of the latest change. */
  told: Promise<void>;
  isCalled: boolean;
  isBehind: boolean;
}

/**
 * @param options.range   Null: no sandbox has a port of its own.
 * @param options.shared  The port of all, which is none of these.
 */
export async function createSshPorts(
  deps: {
    readonly store: Pick<SshAccessStore, "ports" | "choosePort">;
    readonly clock: Clock;
    readonly log: Logger;
  },
  options: { readonly range: PortRange | null; readonly shared: () => number },
): Promise<SshPorts> {
  const { store, clock, log } = deps;
  const { range } = options;
  const isJobPort = (port: number) =>
    range !== null && port >= range.from && port <= range.to && port !== options.shared();
  const held = new Map([...(await store.ports())].filter(([, port]) => isJobPort(port)));
  const badUntilMs = new Map<number, number>();
  const watchers = new Set<Watcher>();
  let last: Promise<unknown> = Promise.resolve();

  const isBad = (port: number) => (badUntilMs.get(port) ?? 0) > clock.monotonicMs();

  function noteBad(ports: readonly number[]): void {
    const news = ports.filter((port) => !isBad(port));
    for (const port of ports) badUntilMs.set(port, clock.monotonicMs() + BAD_MS);
    if (news.length > 0) log.warn("ssh.ports_not_free", { ports: news });
  }

  async function tellOne(watcher: Watcher): Promise<void> {
    watcher.isCalled = true;
    while (watcher.isBehind && watchers.has(watcher)) {
      watcher.isBehind = false;
      try {
        noteBad(await watcher.listener(new Set(held.values())));
      } catch (error) {
        log.warn("ssh.gateway_not_told", { error: messageOf(error) });
      }
    }
    watcher.isCalled = false;
  }

  function tell(watcher: Watcher): void {
    watcher.isBehind = true;
    if (!watcher.isCalled) watcher.told = tellOne(watcher);
  }

  /** Resolves when all gateways know what is held now, or after a while. */
  async function untilTold(): Promise<void> {
    const told = Promise.all([...watchers].map((watcher) => watcher.told));
    await withDeadline(told, PATIENCE_MS, () => new Error("gateways take their time")).catch((error: unknown) =>
      log.warn("ssh.gateways_late", { error: messageOf(error) }),
    );
  }

  function hold(sandboxId: SandboxId, port: number | null): void {
    if (port === null ? !held.delete(sandboxId) : held.get(sandboxId) === port) return;
    if (port !== null) held.set(sandboxId, port);
    for (const watcher of watchers) tell(watcher);
  }

  /** The port it has, unless that cannot be listened on. */
  async function choose(sandboxId: SandboxId, from: PortRange): Promise<number | null> {
    const before = held.get(sandboxId);
    if (before !== undefined && !isBad(before)) return before;
    const without = [options.shared(), ...[...badUntilMs.keys()].filter(isBad)];
    const port = await store.choosePort(sandboxId, from, { without, now: clock.now() });
    hold(sandboxId, port);
    return port;
  }

  /** One after the other: nobody gets the port of another, and one that ends keeps none. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  }

  return {
    async ensure(sandboxId) {
      for (let attempt = 0; range && attempt < ATTEMPTS; attempt++) {
        const port = await inTurn(() => choose(sandboxId, range));
        if (port === null) return null;
        await untilTold();
        if (!isBad(port)) return port;
      }
      return null;
    },
    isJobPort,
    drop(sandboxId) {
      void inTurn(async () => hold(sandboxId, null));
    },
    watch(listener) {
      const watcher: Watcher = { listener, told: Promise.resolve(), isCalled: false, isBehind: false };
      watchers.add(watcher);
      tell(watcher);
      return () => watchers.delete(watcher);
    },
  };
}
