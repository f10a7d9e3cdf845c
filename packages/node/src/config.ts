import { MIN_MEMORY_MIB } from "@mags/domain";
import { z } from "zod";
import { parseCidr, rangesOverlap } from "./network/addresses.ts";

const CidrText = z.string().refine(
  (text) => {
    try {
      return parseCidr(text) !== undefined;
    } catch {
      return false;
    }
  },
  { error: "must be an IPv4 range like 10.0.0.0/8 whose host bits are zero", abort: true },
);

const LEAST_PREFIX = 8;
const NOT_PRIVATE = [parseCidr("127.0.0.0/8"), parseCidr("0.0.0.0/8"), parseCidr("224.0.0.0/3")];

/** Wide enough for a VM, its host and the name service, and none that means something else. */
const UplinkRange = CidrText.refine((text) => {
  const { prefixLength } = parseCidr(text);
  return prefixLength >= LEAST_PREFIX && prefixLength <= 30;
}, "must be from /8 to /30").refine(
  (text) => !NOT_PRIVATE.some((range) => rangesOverlap(parseCidr(text), range)),
  "must be a private range, not loopback or multicast",
);

const Exception = CidrText.refine(
  (text) => parseCidr(text).prefixLength >= LEAST_PREFIX,
  "must be no wider than /8: it would open what VMs must never reach",
);

/** The node's part of the server's configuration. Every default stands here. */
export const NodeConfig = z.strictObject({
  accelerator: z
    .enum(["auto", "kvm", "tcg"])
    .default("auto")
    .describe("auto: KVM if a test guest runs well under it, else emulation (tcg)."),
  /** 0: 2 under KVM, 1 under emulation, where every further processor of a guest costs all others. */
  default_vcpus: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe("Processors of a VM that does not ask. 0: 2 under KVM, 1 under emulation."),
  max_vcpus: z.int().min(1).max(64).default(8).describe("Most processors a job may ask for."),
  default_memory_mb: z.int().min(MIN_MEMORY_MIB).default(1024).describe("Memory of a VM that does not ask."),
  max_memory_mb: z.int().min(MIN_MEMORY_MIB).default(16_384).describe("Most memory a job may ask for."),
  max_disk_gb: z.int().min(2).default(100).describe("Largest disk a job may ask for."),
  disk_io: z
    .strictObject({
      bytes_per_second: z
        .int()
        .min(0)
        .max(2 ** 40)
        .default(200 * 1024 * 1024)
        .describe("Bytes that the disks of one VM may read and write in a second, for long. 0: no limit."),
      operations_per_second: z
        .int()
        .min(0)
        .max(2 ** 30)
        .default(5000)
        .describe("Operations of the disks of one VM in a second, for long. 0: no limit."),
    })
    .prefault({})
    .describe("Four times as much for five seconds after a rest."),
  memory_floor_mb: z
    .int()
    .min(0)
    .default(0)
    .describe("Memory of the host that VMs never get. 0: a quarter of it, at most 1024."),
  memory_overcommit: z
    .number()
    .min(0.1)
    .max(16)
    .default(1)
    .describe("Memory promised to VMs, as a multiple of what the host has above the floor."),
  pool: z
    .strictObject({
      min_idle: z.int().min(0).max(1000).default(3).describe("VMs kept ready."),
      max_idle: z
        .int()
        .min(0)
        .max(1000)
        .default(20)
        .describe("Most VMs kept ready when demand was high in the last five minutes."),
      slot_share: z
        .number()
        .min(0)
        .max(1)
        .default(0.25)
        .describe("Part of them without a disk, for jobs that bring or size their own."),
    })
    .prefault({}),
  images: z
    .strictObject({
      max_size_mb: z
        .int()
        .min(16)
        .max(1_048_576)
        .default(8192)
        .describe(
          "Largest image that is imported, unpacked; an import takes up to three times that of disk meanwhile.",
        ),
      max_entries: z
        .int()
        .min(100)
        .max(2_000_000)
        .default(500_000)
        .describe("Most files, folders and links of an archive that is imported."),
    })
    .prefault({}),
  templates_kept: z.int().min(1).default(8).describe("Templates of other sizes kept after their last use."),
  starts_at_once: z.int().min(0).default(0).describe("Starts under way at a time. 0: one per processor of the host."),
  output_retention_days: z.int().min(1).default(30).describe("Output of ended jobs is deleted after so many days."),
  max_output_bytes: z
    .int()
    .min(65_536)
    .default(64 * 1024 * 1024)
    .describe("Output kept per job; the rest is dropped, and the output says so."),
  uid_base: z
    .int()
    .min(1_000_000)
    .max(4_000_000_000)
    .default(1_910_000_100)
    .describe("VM number n runs as this uid plus n."),
  execs: z
    .strictObject({
      per_vm: z.int().min(1).max(240).default(240).describe("Streamed commands that run in one VM at a time."),
      max_unread_bytes: z
        .int()
        .min(1024 * 1024)
        .max(1024 ** 3)
        .default(64 * 1024 * 1024)
        .describe("Output kept of a command that its client has not read; then the command waits in its write."),
      max_unread_bytes_per_account: z
        .int()
        .min(1024 * 1024)
        .max(1024 ** 4)
        .default(2 * 1024 ** 3)
        .describe(
          "The same of all commands of an account together; each may have an eighth of its own limit, at most 8 MiB, in any case.",
        ),
      detach_seconds: z
        .int()
        .min(1)
        .max(86_400)
        .default(600)
        .describe("A command whose client went away goes on for so long, then gets SIGHUP, and SIGKILL after 10 s."),
      kept_seconds: z
        .int()
        .min(1)
        .max(86_400)
        .default(600)
        .describe("Output and exit code of an ended command are kept for so long when its client does not fetch them."),
    })
    .prefault({})
    .describe("Streamed commands: `mags exec`, `mags ssh`."),
  network: z
    .strictObject({
      prefix: z
        .string()
        .regex(/^[a-z][a-z0-9]{1,6}$/, "must be 2 to 7 lower-case letters and digits")
        .default("mags")
        .describe("Begins the names of interfaces, namespaces and tables."),
      uplink_range: UplinkRange.default("10.213.0.0/16").describe(
        "Addresses between the host and its VMs; must be free on the host.",
      ),
      exceptions: z
        .array(Exception)
        .default([])
        .describe("Private ranges VMs may reach all the same, such as a package mirror's."),
      denied: z
        .array(CidrText)
        .default([])
        .describe("Public ranges VMs must not reach, such as those of your own machines."),
      prepared: z.int().min(0).max(100).default(4).describe("Network namespaces made before VMs need them."),
      bandwidth_mbit: z
        .int()
        .min(0)
        .max(100_000)
        .default(1_000)
        .describe("Megabits a second of a VM, in each direction. 0: no limit."),
      max_connections: z
        .int()
        .min(16)
        .max(65_536)
        .default(2_048)
        .describe("Connections of a VM at a time, flows of UDP among them; more are refused."),
      new_connections_per_second: z
        .int()
        .min(1)
        .max(100_000)
        .default(500)
        .describe("New connections of a VM a second, twice as many in a burst; more are dropped."),
      name_servers: z
        .array(z.union([z.ipv4(), z.ipv6()]))
        .default([])
        .describe("Where DNS queries of VMs go. Empty: the host's."),
    })
    .prefault({}),
  block_cache_mb: z
    .int()
    .min(64)
    .max(10_000_000)
    .default(2_048)
    .describe("Disk for what was read of synced workspaces, in `<data_dir>/blocks/cache`."),
  hydration: z
    .strictObject({
      mb_per_second: z.int().min(1).max(10_000).default(16).describe("All disks together are copied at most so fast."),
      after_seconds: z
        .int()
        .min(0)
        .max(86_400)
        .default(10)
        .describe("A VM that has started or woken is left alone for so long."),
    })
    .prefault({})
    .describe("Disks of synced workspaces are copied from the object store while their VMs run."),
  garbage_hours: z
    .int()
    .min(2)
    .max(10_000)
    .default(24)
    .describe(
      "What no workspace needs any more is removed from the object store after so long: of a deleted workspace first what lists its files, then, after as long again, the files. A sync that takes longer than half of it is given up.",
    ),
  guest: z
    .strictObject({
      ca_certificates: z
        .array(z.string())
        .default([])
        .describe("PEM files of certificate authorities that all VMs trust."),
      environment: z
        .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().regex(/^[^\n\0]*$/))
        .default({})
        .describe("Environment of all VMs: mirrors, proxies."),
      files: z
        .array(
          z.strictObject({
            path: z.string().describe("Absolute path in the VM."),
            source: z.string().describe("File on this machine."),
            mode: z.int().min(0).max(0o777).default(0o644).describe("Permission bits, as a decimal number."),
          }),
        )
        .default([])
        .describe("Files put into all VMs."),
    })
    .prefault({}),
});

export type NodeConfig = z.infer<typeof NodeConfig>;
