/** What a node or a guest says may hold what PostgreSQL's text and jsonb cannot: NUL and broken surrogate pairs. */
export function storableText(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

/** As JSON text, every string in it storable. */
export function storableJson(data: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(data, (_key, value) => (typeof value === "string" ? storableText(value) : value));
}
