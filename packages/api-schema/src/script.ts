import { MAX_SCRIPT_BYTES } from "@mags/domain";
import { z } from "zod";

export const Script = z.string().superRefine((script, ctx) => {
  const refuse = (message: string) => ctx.addIssue({ code: "custom", message });
  if (script.trim() === "") refuse("is empty: give the script to run");
  else if (script.includes("\0")) refuse("contains a NUL character: scripts must be text");
  else if (!script.isWellFormed()) refuse("contains broken surrogate pairs: scripts must be text");
  else if (Buffer.byteLength(script) > MAX_SCRIPT_BYTES)
    refuse(`is larger than 1 MiB (${MAX_SCRIPT_BYTES} bytes): have a shorter script fetch what it needs`);
});

/** With type `url` the script is one http or https address. */
export function scriptAddressRule(
  body: { readonly type: "inline" | "url"; readonly script: string },
  ctx: z.RefinementCtx,
): void {
  if (body.type !== "url") return;
  const url = URL.parse(body.script.trim());
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return;
  ctx.addIssue({
    code: "custom",
    path: ["script"],
    message: 'must be an http or https address when type is "url"; for a script itself use type "inline"',
  });
}
