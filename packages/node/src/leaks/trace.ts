/** What an installation leaves on its host, and whose it is. Decides; looking is done elsewhere. */

/** Something on the host that carries the installation's mark. */
export interface Trace {
  /** Kind, for people: `process`, `namespace`. */
  readonly what: string;
  /** Where it is: a path, name or number that is the same in every look. */
  readonly name: string;
  readonly owner: Owner;
}

export type Owner =
  /** Stays as long as the installation does. */
  | { readonly kind: "installation" }
  /** Is there while a server runs; the next start replaces it. */
  | { readonly kind: "server" }
  | { readonly kind: "microvm"; readonly id: string }
  /** Of the microVM with that number; 0 is the node's own. `pid` is set for processes. */
  | { readonly kind: "index"; readonly index: number; readonly pid?: number }
  /** Output of a job. */
  | { readonly kind: "log"; readonly jobId: string }
  | { readonly kind: "upload"; readonly id: string }
  /** The end of a job, kept until the control plane has stored it. */
  | { readonly kind: "outcome"; readonly jobId: string }
  /** Disk and memory of a sandbox; it needs no server. */
  | { readonly kind: "sandbox"; readonly id: string }
  /** A streamed command, until its client has its end. */
  | { readonly kind: "exec"; readonly execId: string }
  /** Something half-made. */
  | { readonly kind: "work"; readonly name: string }
  /** Can be nobody's. `swept`: the next start removes it. */
  | { readonly kind: "nobody"; readonly swept: boolean };

/** What a node has, as it says itself. */
export interface NodeFootprint {
  /** Those that exist, are being made or removed. `jobId` is set for those that outlive the server. */
  readonly microVms: readonly {
    readonly id: string;
    readonly index: number;
    readonly pid: number | null;
    readonly jobId: string | null;
  }[];
  /** Numbers of networks that wait for a microVM. */
  readonly preparedIndexes: readonly number[];
  /** Names of what is half-made now. */
  readonly work: readonly string[];
  /** Streamed commands that run or are kept. */
  readonly execs: readonly string[];
  /** Jobs whose ends are kept. */
  readonly outcomes: readonly string[];
  /** Awake and asleep. */
  readonly sandboxes: readonly string[];
}

export interface Expected extends NodeFootprint {
  readonly serverRuns: boolean;
  /** Those of the jobs with output that the database does not have; none where it cannot be asked. */
  readonly unknownJobs: ReadonlySet<string>;
  /** As `unknownJobs`, of uploads. */
  readonly unknownUploads: ReadonlySet<string>;
  /** As `unknownJobs`, of sandboxes. */
  readonly unknownSandboxes: ReadonlySet<string>;
}

export type Verdict =
  | { readonly kind: "expected" }
  /** No server runs, and this goes on without one. */
  | { readonly kind: "goes-on"; readonly jobId: string }
  /** No server runs; the next start adopts or removes it. */
  | { readonly kind: "next-start" }
  | { readonly kind: "leak" };

const EXPECTED: Verdict = { kind: "expected" };
const LEAK: Verdict = { kind: "leak" };

export function judge({ owner }: Trace, expected: Expected): Verdict {
  const unclaimed: Verdict = expected.serverRuns ? LEAK : { kind: "next-start" };
  const when = (claimed: boolean) => (claimed && expected.serverRuns ? EXPECTED : unclaimed);
  switch (owner.kind) {
    case "installation":
      return EXPECTED;
    case "server":
      return when(true);
    case "microvm":
      return ofMicroVm(expected.microVms.find(({ id }) => id === owner.id));
    case "index":
      if (owner.index === 0) return when(expected.work.length > 0);
      if (owner.pid === undefined && expected.preparedIndexes.includes(owner.index)) return when(true);
      return ofMicroVm(
        expected.microVms.find(
          ({ index, pid }) => index === owner.index && (owner.pid === undefined || pid === null || pid === owner.pid),
        ),
      );
    case "log":
      return expected.unknownJobs.has(owner.jobId) ? LEAK : EXPECTED;
    case "upload":
      return expected.unknownUploads.has(owner.id) ? LEAK : EXPECTED;
    case "outcome":
      return when(expected.outcomes.includes(owner.jobId));
    case "sandbox":
      if (expected.unknownSandboxes.has(owner.id)) return LEAK;
      return !expected.serverRuns || expected.sandboxes.includes(owner.id) ? EXPECTED : LEAK;
    case "exec":
      return when(expected.execs.includes(owner.execId));
    case "work":
      return when(expected.work.includes(owner.name));
    case "nobody":
      return owner.swept ? unclaimed : LEAK;
    default:
      return owner satisfies never;
  }

  function ofMicroVm(microVm: NodeFootprint["microVms"][number] | undefined): Verdict {
    if (expected.serverRuns) return microVm ? EXPECTED : LEAK;
    return microVm?.jobId ? { kind: "goes-on", jobId: microVm.jobId } : unclaimed;
  }
}

/** What the footprints before and after a look allow together: something may have begun or ended between them. */
export function mergeFootprints(a: NodeFootprint, b: NodeFootprint): NodeFootprint {
  return {
    microVms: [...a.microVms, ...b.microVms],
    preparedIndexes: [...a.preparedIndexes, ...b.preparedIndexes],
    work: [...a.work, ...b.work],
    execs: [...a.execs, ...b.execs],
    outcomes: [...a.outcomes, ...b.outcomes],
    sandboxes: [...a.sandboxes, ...b.sandboxes],
  };
}
