/** A whole Mags whose object store is a bucket of a real S3 store, and what the bucket holds. */
import { Secret, silentLogger } from "@mags/core";
import { type OwnedObjectStore, openObjectStore } from "@mags/object-store";
import { type Radosgw, startRadosgw } from "@mags/test-kit";
import { startServer, type TestServer } from "./server.ts";

export interface S3Server extends AsyncDisposable {
  readonly server: TestServer;
  readonly radosgw: Radosgw;
  readonly store: OwnedObjectStore;
}

const BUCKET = "workspaces";

export async function startS3Server(): Promise<S3Server> {
  await using scope = new AsyncDisposableStack();
  const radosgw = scope.use(await startRadosgw());
  await radosgw.createBucket(BUCKET);
  const { endpoint, region, accessKey, secretKey } = radosgw;
  const place = { kind: "s3", endpoint, region, bucket: BUCKET, prefix: "" } as const;
  const server = scope.use(
    await startServer({
      config: { object_store: { ...place, access_key: accessKey, secret_key: secretKey } },
      node: { default_memory_mb: 512, pool: { min_idle: 1, max_idle: 2 } },
    }),
  );
  const options = { ...place, accessKey, secretKey: new Secret(secretKey), pathStyle: true };
  const store = scope.use(await openObjectStore(options, { log: silentLogger }));
  const owned = scope.move();
  return { server, radosgw, store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
