/**
 * How the embedded server runs. Durability is left as strict as PostgreSQL has it by default (fsync, synchronous
 * commit, full page writes); memory and processes are cut down to what one control plane needs.
 */
export const SERVER_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_directories: "/sockets",
  unix_socket_permissions: "0700",
  max_connections: "30",
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  // Nothing replicates from this server; backups are logical dumps.
  wal_level: "minimal",
  max_wal_senders: "0",
  min_wal_size: "64MB",
  max_wal_size: "512MB",
  shared_buffers: "32MB",
  work_mem: "4MB",
  maintenance_work_mem: "32MB",
  huge_pages: "off",
  jit: "off",
  max_worker_processes: "2",
  max_parallel_workers_per_gather: "0",
  max_parallel_maintenance_workers: "0",
  autovacuum_max_workers: "1",
  max_logical_replication_workers: "0",
  log_line_prefix: "%m [%p] ",
  log_checkpoints: "off",
  timezone: "UTC",
};

/** Role of the embedded server; peers are kept out by the mode of the socket's directory. */
export const SUPERUSER = "mags";

const VERSION = "17";
const PROGRAMS = `/usr/lib/postgresql/${VERSION}/bin`;

/** Places inside the runtime root. */
export const INSIDE = {
  postgres: `${PROGRAMS}/postgres`,
  initdb: `${PROGRAMS}/initdb`,
  data: "/data",
  sockets: "/sockets",
} as const;

/** The cluster's directory below the data directory: named by the major version, whose files no other can read. */
export const CLUSTER_NAME = VERSION;
