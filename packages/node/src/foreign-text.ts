/** Text of a guest, or of its QEMU, on its way into messages, logs and terminals. */

const REPLACEMENT = "\ufffd";
/** What moves a terminal's cursor, changes its colours or the order of what is read; tabs and line ends stay. */
const UNSAFE = /[^\P{Cc}\t\n]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** At most `maxLength` UTF-16 units, with nothing in it that acts on whoever shows it. */
export function foreignText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replaceAll(UNSAFE, REPLACEMENT).toWellFormed();
}
