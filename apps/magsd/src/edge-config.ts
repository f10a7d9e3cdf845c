/** The parts of the configuration for edges that run apart: at the server, and at the edge. */
import { AppError, messageOf, readSecretFile, Secret } from "@mags/core";
import { z } from "zod";

const EDGE_PORT = 7778;

const secretFile = z
  .string()
  .regex(/^\//, "must be an absolute path")
  .default("/etc/mags/edge.secret")
  .describe("The secret that server and edges share: `magsd edge-secret FILE` makes it. Nobody else may read it.");

export const EdgesConfig = z.strictObject({
  listen: z
    .strictObject({
      host: z.string().default("127.0.0.1").describe("Address that edges connect to."),
      port: z
        .int()
        .min(0)
        .max(65_535)
        .default(EDGE_PORT)
        .describe("Its port. 0: any free port; `magsd status` tells which."),
    })
    .prefault({}),
  secret_file: secretFile,
});

export const UpstreamConfig = z.strictObject({
  host: z.string().min(1).describe("The server's `edges.listen`, as it is reached from here."),
  port: z.int().min(1).max(65_535).default(EDGE_PORT).describe("Its port."),
  secret_file: secretFile,
});

export type EdgesConfig = Readonly<z.infer<typeof EdgesConfig>>;
export type UpstreamConfig = Readonly<z.infer<typeof UpstreamConfig>>;

/** @throws AppError `validation_failed` when it cannot be read, or others can. */
export async function readEdgeSecret(file: string): Promise<Secret> {
  try {
    return new Secret((await readSecretFile(file)).trim());
  } catch (cause) {
    throw new AppError("validation_failed", `the secret of edges in ${file} cannot be used: ${messageOf(cause)}`, {
      cause,
    });
  }
}
