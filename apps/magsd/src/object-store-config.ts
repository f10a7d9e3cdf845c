/** The part of the configuration that says where objects are kept. */
import { Secret } from "@mags/core";
import { isKey } from "@mags/object-store";
import { z } from "zod";

/** Of the 1024 bytes of a key in a bucket, an object's own key takes up to 512. */
const MAX_PREFIX_BYTES = 500;

const Keys = z.strictObject({
  kind: z
    .enum(["filesystem", "s3"])
    .default("filesystem")
    .describe("Where objects are kept. filesystem: in `<data_dir>/objects`. s3: in a bucket, with the keys below."),
  endpoint: z
    .string()
    .regex(/^https?:\/\/[^/?#@]+\/?$/, "must be http:// or https:// with a host, perhaps a port, and no path")
    .optional()
    .describe("Address of the S3 store, such as `https://s3.eu-central-1.amazonaws.com`."),
  region: z.string().min(1).default("us-east-1").describe("Region of the bucket. Many stores take any."),
  bucket: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "must be the name of a bucket")
    .optional()
    .describe("A bucket that is there."),
  prefix: z
    .string()
    .refine(
      (prefix) => prefix === "" || (isKey(prefix.replace(/\/$/, "")) && Buffer.byteLength(prefix) <= MAX_PREFIX_BYTES),
      `must be folder names with / between them, at most ${MAX_PREFIX_BYTES} bytes`,
    )
    .default("")
    .describe("Folder of the bucket, for what else is in it to stay apart. Empty: all of it."),
  access_key: z
    .string()
    .min(1)
    .optional()
    .describe("Access key id. It may read, write, remove and list objects there."),
  secret_key: z
    .string()
    .min(1)
    .transform((key) => new Secret(key))
    .optional()
    .describe("Its secret; or secret_key_file."),
  secret_key_file: z
    .string()
    .regex(/^\//, "must be an absolute path")
    .optional()
    .describe("File of this machine that holds the secret alone."),
  path_style: z
    .boolean()
    .default(true)
    .describe("Bucket in the path of addresses, which most stores take. false: in front of the host."),
});

/** What the configuration says, once it says enough. */
export type ObjectStoreConfig =
  | { readonly kind: "filesystem" }
  | {
      readonly kind: "s3";
      readonly endpoint: string;
      readonly region: string;
      readonly bucket: string;
      readonly prefix: string;
      readonly access_key: string;
      /** A text is the name of the file that holds it. */
      readonly secret_key: Secret | string;
      readonly path_style: boolean;
    };

export const ObjectStoreConfig = Keys.transform((keys, context): ObjectStoreConfig => {
  const problem = (key: keyof typeof keys, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  if (keys.kind === "filesystem") {
    for (const key of ["endpoint", "bucket", "access_key", "secret_key", "secret_key_file"] as const)
      if (keys[key] !== undefined) problem(key, "is for kind s3 only");
    return { kind: "filesystem" };
  }
  const { kind, endpoint, bucket, access_key, secret_key = keys.secret_key_file, region, prefix, path_style } = keys;
  for (const key of ["endpoint", "bucket", "access_key"] as const)
    if (keys[key] === undefined) problem(key, "is needed for kind s3");
  if (secret_key === undefined) problem("secret_key", "is needed for kind s3; or secret_key_file");
  if (keys.secret_key && keys.secret_key_file) problem("secret_key_file", "cannot be beside secret_key");
  if (endpoint === undefined || bucket === undefined || access_key === undefined || secret_key === undefined)
    return z.NEVER;
  return { kind, endpoint, bucket, access_key, secret_key, region, prefix, path_style };
});
