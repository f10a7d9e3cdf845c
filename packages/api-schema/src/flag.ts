import { z } from "zod";

/** A switch in a query. Default: off. */
export const flag = z
  .enum(["0", "1", "true", "false"])
  .default("0")
  .transform((value) => value === "1" || value === "true");
