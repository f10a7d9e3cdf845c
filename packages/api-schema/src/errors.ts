import { z } from "zod";

/** Every reply that is not 2xx. Clients read `error`; `code` is for programs. */
export const ErrorBody = z
  .object({
    error: z.string().describe("What was wrong and what to do about it."),
    code: z.string().optional().describe("Stable machine-readable code."),
  })
  .meta({ id: "Error" });
