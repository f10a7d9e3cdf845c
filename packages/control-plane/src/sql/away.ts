import { AppError } from "@mags/core";
import { DatabaseError } from "pg";

/** SQLSTATE classes and codes of a server that cannot answer now: connection lost, shutting down or starting, out of resources, deadlock, time-out. */
const AWAY = /^(08|53|57P|57014|40001|40P01|25006)/;

/**
 * True when a statement failed for want of a working server, not for what it said; whether it took effect is unknown.
 * The driver reports lost connections as plain errors, so the rule goes by kind: what the server answered goes by its
 * code, and errors of our own classes and of the language are never the connection's.
 */
export function isAway(error: unknown): boolean {
  if (error instanceof DatabaseError) return AWAY.test(error.code ?? "");
  if (error instanceof AggregateError) return true;
  return error instanceof Error && error.constructor === Error && !(error instanceof AppError);
}

const DISK_FULL = "53100";

/** Why the server cannot answer now, and what to do, for people. */
export function whyAway(cause: unknown): string {
  if (cause instanceof DatabaseError && cause.code === DISK_FULL)
    return "the database's disk is full: make room on it, then try again";
  return "the database does not answer now: try again";
}
