/** Where a bucket's objects are, as URLs. */

export interface BucketPlace {
  /** Scheme, host and port. */
  readonly endpoint: string;
  readonly bucket: string;
  /** What keys of the bucket begin with: empty, or ending with a slash. */
  readonly prefix: string;
  /** The bucket in the path of URLs; else in front of the host. */
  readonly pathStyle: boolean;
}

export function objectUrl(place: BucketPlace, key: string): string {
  return `${bucketUrl(place)}/${(place.prefix + key).split("/").map(encode).join("/")}`;
}

export function listUrl(place: BucketPlace, query: Readonly<Record<string, string>>): string {
  const parts = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
  return `${bucketUrl(place)}/?${parts.join("&")}`;
}

function bucketUrl({ endpoint, bucket, pathStyle }: BucketPlace): string {
  const { protocol, host } = new URL(endpoint);
  return pathStyle ? `${protocol}//${host}/${encode(bucket)}` : `${protocol}//${bucket}.${host}`;
}

/** Everything but the unreserved characters of RFC 3986, as signatures of version 4 want it. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}
