/** One page of a listing (ListObjectsV2). */
import { parseXml, textOf, type XmlElement } from "./xml.ts";

export interface ListingPage {
  readonly objects: readonly { readonly key: string; readonly sizeBytes: number; readonly modifiedAt: Date }[];
  /** What asks for the next page; undefined on the last one. */
  readonly next: string | undefined;
}

/** @throws Error when it is no listing, or lacks something. */
export function readListing(body: Buffer): ListingPage {
  const root = parseXml(new TextDecoder("utf-8", { fatal: true }).decode(body));
  if (root.name !== "ListBucketResult") throw new Error("no ListBucketResult");
  const isEncoded = textOf(root, "EncodingType") === "url";
  const objects = root.children
    .filter(({ name }) => name === "Contents")
    .map((element) => readObject(element, isEncoded));
  if (textOf(root, "IsTruncated") !== "true") return { objects, next: undefined };
  return { objects, next: need(root, "NextContinuationToken") };
}

function readObject(element: XmlElement, isEncoded: boolean) {
  const name = need(element, "Key");
  const sizeBytes = Number(need(element, "Size"));
  const modifiedAt = new Date(need(element, "LastModified"));
  if (!Number.isSafeInteger(sizeBytes) || Number.isNaN(modifiedAt.getTime())) throw new Error("no size or time");
  return { key: isEncoded ? decodeURIComponent(name.replaceAll("+", " ")) : name, sizeBytes, modifiedAt };
}

function need(element: XmlElement, name: string): string {
  const text = textOf(element, name);
  if (!text) throw new Error(`no ${name}`);
  return text;
}
