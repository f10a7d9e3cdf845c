const BYTE_ORDER_MARK = "\uFEFF";
export const MAX_SCRIPT_BYTES = 1024 * 1024;

export interface NormalizedScript {
  readonly script: string;
  /** True when every line ended in CR LF, as Windows editors write, and the CRs were taken out. */
  readonly crlfConverted: boolean;
}

/**
 * Scripts run byte for byte, with two exceptions that Windows editors make: a byte order mark before the first
 * character is taken out, as it would hide the shebang; and a text whose every line ends in CR LF was written on Windows and
 * would fail with `not found` on each line (the kernel looks for an interpreter named `sh\r`), so it becomes LF.
 * A text that mixes both endings is left as it is.
 */
export function normalizeScript(text: string): NormalizedScript {
  const script = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  if (!script.includes("\r\n") || /(^|[^\r])\n/.test(script)) return { script, crlfConverted: false };
  return { script: script.replaceAll("\r\n", "\n"), crlfConverted: true };
}
