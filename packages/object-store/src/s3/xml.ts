/**
 * The XML that S3 stores answer with: elements and text. Attributes are passed over; document types, entities of their
 * own, comments and CDATA, which no answer needs, are refused, so nothing is larger than the answer it came in.
 */

export interface XmlElement {
  readonly name: string;
  /** The text directly in it. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: OpenElement[];
}

const MAX_DEPTH = 16;
const PROLOG = /^\uFEFF?(<\?xml\b[^<>]*\?>)?\s*/;
const NAME = "[A-Za-z_][\\w.:-]*";
const TOKEN = new RegExp(
  `<(?<open>${NAME})(?:\\s+${NAME}\\s*=\\s*(?:"[^"<]*"|'[^'<]*'))*\\s*(?<empty>/?)>|</(?<close>${NAME})\\s*>|(?<text>[^<]+)`,
  "y",
);
const ENTITY = /&(?:#x([0-9A-Fa-f]{1,6})|#(\d{1,7})|(lt|gt|amp|quot|apos));|&/g;
const NAMED: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

/** The root element. @throws Error when it is anything but such XML. */
export function parseXml(source: string): XmlElement {
  const document: OpenElement = { name: "", text: "", children: [] };
  const open: OpenElement[] = [document];
  TOKEN.lastIndex = PROLOG.exec(source)?.[0].length ?? 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const inner = open.at(-1) ?? document;
    const { open: name, empty, close, text } = TOKEN.exec(source)?.groups ?? {};
    if (text !== undefined) inner.text += resolveEntities(text);
    else if (name !== undefined) {
      const element: OpenElement = { name, text: "", children: [] };
      inner.children.push(element);
      if (!empty) open.push(element);
      if (open.length > MAX_DEPTH) throw new Error("XML with elements too deep in each other");
    } else if (close !== undefined && open.length > 1 && inner.name === close) open.pop();
    else throw new Error(`not the XML of an S3 store, at character ${at}`);
  }
  const [root, ...more] = document.children;
  if (!root || more.length > 0 || open.length > 1 || document.text.trim() !== "")
    throw new Error("not one whole XML element");
  return root;
}

function resolveEntities(text: string): string {
  return text.replace(ENTITY, (_, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return NAMED[name] ?? "";
    const code = hex !== undefined ? Number.parseInt(hex, 16) : decimal !== undefined ? Number(decimal) : -1;
    if (code < 1 || code > 0x10ffff) throw new Error("XML with an entity that is none");
    return String.fromCodePoint(code);
  });
}

/** The text of the first child of this name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}
