/**
 * Command lines for programs of the runtime root: a small Debian tree that holds QEMU, PostgreSQL and the tools of the
 * node, so that every host distribution runs the same versions. Daemons run jailed in it through the launcher
 * (`native/launcher`); short-lived tools that act on the host itself run through the tree's own dynamic loader.
 */

export interface RuntimeRoot {
  /** The tree. Absolute, without `:` or `,`. */
  readonly dir: string;
  /** The launcher's static binary. */
  readonly launcher: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

export interface LaunchSpec {
  /** Absolute path inside the tree. */
  readonly program: string;
  readonly args: readonly string[];
  /** Host paths shown inside the tree. `target` must exist there: /vm, /template, /image, /boot, /data, /sockets. */
  readonly binds: readonly { readonly source: string; readonly target: string; readonly readOnly: boolean }[];
  readonly uid: number;
  readonly gid: number;
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  /** Default `/`. */
  readonly cwd?: string;
  /** Gives it /tmp and /dev/shm, in memory, that end with it. */
  readonly scratch?: boolean;
  /** Shows /dev/kvm to the program. */
  readonly kvm?: boolean;
  /** `cgroup.procs` files of control groups to run in: one under cgroup v2, one a hierarchy under v1. */
  readonly cgroups?: readonly string[];
  /** Network namespace to run in: a path as `ip netns` makes it. Default: the host's. */
  readonly netns?: string;
  /** A tap device of that namespace, opened before privileges are dropped and passed as this descriptor. */
  readonly tap?: { readonly name: string; readonly fd: number };
  /** Unix sockets, made at these paths of the host for root alone, on which the program gets to listen. */
  readonly listeners?: readonly { readonly path: string; readonly fd: number }[];
  /** Run under SCHED_IDLE: only where nobody else wants the processor. */
  readonly idlePriority?: boolean;
  /** Nice value, -20 (most favoured) to 19. Default 0, whatever the caller's is. */
  readonly nice?: number;
  /** Most open descriptors. Default 1024. */
  readonly maxOpenFiles?: number;
  /** Most bytes of any file it writes. Default: no limit, as for the next two. */
  readonly maxFileBytes?: number;
  /** How far that may be changed while it runs. Default: not at all. */
  readonly mostFileBytes?: number;
  /** Most processes and threads of its uid. */
  readonly maxProcesses?: number;
  /** Most bytes of addresses. */
  readonly maxAddressBytes?: number;
  /** Only the system calls that this program needs. */
  readonly systemCalls?: "qemu";
}

/** The command that runs a program jailed: own mount view of the tree, own uid, no capabilities, no new privileges. */
export function launchCommand(root: RuntimeRoot, spec: LaunchSpec): Command {
  const args = ["--root", root.dir, "--uid", String(spec.uid), "--gid", String(spec.gid)];
  for (const bind of spec.binds) args.push(bind.readOnly ? "--bind-ro" : "--bind", bind.source, bind.target);
  for (const [name, value] of Object.entries(spec.env)) args.push("--env", `${name}=${value}`);
  if (spec.cwd) args.push("--cwd", spec.cwd);
  if (spec.scratch) args.push("--scratch");
  if (spec.kvm) args.push("--kvm");
  for (const file of spec.cgroups ?? []) args.push("--cgroup", file);
  if (spec.netns) args.push("--netns", spec.netns);
  if (spec.tap) args.push("--tap", spec.tap.name, String(spec.tap.fd));
  for (const { path, fd } of spec.listeners ?? []) args.push("--listen", path, String(fd));
  if (spec.idlePriority) args.push("--idle");
  if (spec.nice) args.push("--nice", String(spec.nice));
  const limits = [
    ["nofile", spec.maxOpenFiles ?? 1024],
    ["fsize", spec.maxFileBytes, spec.mostFileBytes],
    ["nproc", spec.maxProcesses],
    ["as", spec.maxAddressBytes],
  ] as const;
  for (const [name, value, most = value] of limits)
    if (value !== undefined) args.push("--limit", name, most === value ? String(value) : `${value}:${most}`);
  if (spec.systemCalls) args.push("--seccomp", spec.systemCalls);
  args.push("--", spec.program, ...spec.args);
  return { file: root.launcher, args };
}

/** The command that puts every thread of a jailed program back to normal priority. */
export function normalPriorityCommand(root: RuntimeRoot, pid: number): Command {
  return { file: root.launcher, args: ["--resched", String(pid)] };
}

/** The command that lowers the most bytes of any file that a jailed program writes. */
export function fileLimitCommand(
  root: RuntimeRoot,
  process: { readonly pid: number; readonly uid: number; readonly gid: number },
  maxFileBytes: number,
): Command {
  const { pid, uid, gid } = process;
  return { file: root.launcher, args: ["--relimit", ...[pid, uid, gid].map(String), "fsize", String(maxFileBytes)] };
}

/**
 * The command that makes a unix socket at `path`, for root alone, and hands it over to a program in its jail, which listens on it
 * from then on: it is sent together with `message` over the connection that the command gets as its descriptor 3.
 */
export function handOverCommand(root: RuntimeRoot, path: string, message: string): Command {
  return { file: root.launcher, args: ["--hand-over", path, message] };
}

/** The command that runs a tool of the tree on the host as it is, with the caller's rights. */
export function toolCommand(root: RuntimeRoot, program: string, args: readonly string[]): Command {
  const libraries = `${root.dir}/usr/lib/x86_64-linux-gnu`;
  const name = program.slice(program.lastIndexOf("/") + 1);
  return {
    file: `${root.dir}/usr/lib64/ld-linux-x86-64.so.2`,
    args: ["--library-path", libraries, "--argv0", name, `${root.dir}${program}`, ...args],
  };
}
