/** What overlayfs writes into the attributes of an upper layer, apart from those that its user set. */

export interface OverlayMarks {
  /** Nothing of the folder below shows. */
  readonly opaque: boolean;
  /** It was made from what lies below when somebody wrote to it. */
  readonly copiedUp: boolean;
  /** Where below its folder came from, by a rename: one character a byte. */
  readonly movedFrom: string | undefined;
  /** Its content is that of the file below. */
  readonly contentBelow: boolean;
  /** As somebody sees them who looks at the merged tree. */
  readonly own: ReadonlyMap<string, Buffer>;
}

const PREFIX = "trusted.overlay.";
/** What an overlay in an overlay writes: the outer one puts its own prefix before, and takes it away again. */
const ESCAPED = `${PREFIX}overlay.`;

export function marksOf(attributes: ReadonlyMap<string, Buffer>): OverlayMarks {
  const own = new Map<string, Buffer>();
  for (const [name, value] of attributes) {
    if (name.startsWith(ESCAPED)) own.set(PREFIX + name.slice(ESCAPED.length), value);
    else if (!name.startsWith(PREFIX)) own.set(name, value);
  }
  return {
    opaque: attributes.get(`${PREFIX}opaque`)?.toString("latin1") === "y",
    copiedUp: attributes.has(`${PREFIX}origin`),
    movedFrom: attributes.get(`${PREFIX}redirect`)?.toString("latin1"),
    contentBelow: attributes.has(`${PREFIX}metacopy`),
    own,
  };
}
