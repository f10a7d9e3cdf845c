/**
 * What is asked for is not to be had now, and may be later. The protocol has no error for that; ENOSPC is the one for which
 * QEMU can be told to stop its guest and try again, while it hands others to it.
 */
export class NotNow extends Error {}

/** What a server offers: bytes that do not change, some of which are known to be zero without being kept. */
export interface NbdExport {
  readonly sizeBytes: number;
  /**
   * Reads within the export; never called with a length of 0 or beyond the end. It may take as long as it likes and is called many
   * times at once. A rejection becomes EIO for this request alone, one with
   * NotNow ENOSPC.
   * @returns the bytes, or pieces in order that make up `length` together.
   */
  read(
    offset: number,
    length: number,
    options: { readonly signal: AbortSignal },
  ): Promise<Buffer | readonly NbdPiece[]>;
  /**
   * Tells what is known to be zero, from `offset` on, at least for the first byte.
   * @param length  How much the client asks about: up to 4 GiB. What is told beyond that is left out.
   * @param options.mostExtents  So many are wanted, neighbours of one kind counted as one; what follows is left out.
   */
  extents(
    offset: number,
    length: number,
    options: { readonly mostExtents: number; readonly signal: AbortSignal },
  ): Promise<readonly NbdZeroExtent[]> | readonly NbdZeroExtent[];
}

/** Bytes, or so many zeros that nobody keeps. */
export type NbdPiece = Buffer | { readonly zeroBytes: number };

export interface NbdZeroExtent {
  readonly length: number;
  /** Reads as zeros, and nothing is kept of it. */
  readonly zero: boolean;
}

export interface NbdExports {
  /** The export of that name, which is text of the client: at most 4096 bytes of anything. Called for each negotiation. */
  find(name: string): NbdExport | undefined | Promise<NbdExport | undefined>;
  /** What clients that ask are shown. Default: nothing. */
  list?(): readonly string[];
}
