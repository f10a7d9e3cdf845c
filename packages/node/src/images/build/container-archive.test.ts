import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { tarFile } from "../../../test/images/make-tar.ts";
import type { ByteSource } from "../tar/byte-source.ts";
import { readTar, type TarEntry } from "../tar/reader.ts";
import { findContainerImage } from "./container-archive.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

interface Named {
  readonly mediaType: string;
  readonly digest: string;
}

/** An OCI archive under construction. */
function createLayout() {
  const files = new Map<string, Buffer>([["oci-layout", Buffer.from("{}")]]);
  function put(value: unknown, mediaType: string): Named {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    const hex = createHash("sha256").update(bytes).digest("hex");
    files.set(`blobs/sha256/${hex}`, bytes);
    return { mediaType, digest: `sha256:${hex}` };
  }
  return {
    index: (manifests: readonly Named[]) => put({ manifests }, INDEX),
    image(content: string) {
      const config = put({ architecture: "amd64", os: "linux" }, "");
      return put({ config, layers: [put(Buffer.from(content), "")] }, MANIFEST);
    },
    archive(manifests: readonly Named[]) {
      files.set("index.json", Buffer.from(JSON.stringify({ manifests })));
      return [...files].map(([path, body]) => ({ path, body }));
    },
  };
}

async function find(files: readonly { readonly path: string; readonly body: Buffer }[]) {
  const bytes = tarFile(files);
  let readBytes = 0;
  const source: ByteSource = {
    length: bytes.length,
    async read(offset, length) {
      readBytes += length;
      return bytes.subarray(offset, offset + length);
    },
  };
  const entries: TarEntry[] = [];
  for await (const entry of readTar(source, { count() {} })) entries.push(entry);
  readBytes = 0;
  return { image: await findContainerImage(source, entries), passes: readBytes / bytes.length };
}

describe("findContainerImage", () => {
  it("looks once at what indexes name again and again, however deep", async () => {
    const layout = createLayout();
    let named = layout.image("layer");
    for (let depth = 0; depth < 8; depth++) named = layout.index(Array.from({ length: 40 }, () => named));
    const { image, passes } = await find(layout.archive(Array.from({ length: 40 }, () => named)));
    assert.equal(image?.layers.length, 1);
    assert.ok(passes < 10, `the archive was read ${passes} times`);
  });

  it("refuses an archive of several images by their names, and one with indexes without end", async () => {
    const layout = createLayout();
    const images = Array.from({ length: 1001 }, (_, n) => layout.image(`layer ${n}`));
    const several = find(layout.archive([layout.index(images.slice(0, 6)), layout.index(images.slice(3, 9))]));
    await assert.rejects(several, { code: "validation_failed", message: /holds 9 images \((sha256:\w+, ){5}\.\.\.\)/ });
    await assert.rejects(find(layout.archive(images)), {
      code: "validation_failed",
      message: /indexes name more than 1000 manifests/,
    });
  });

  it("takes an archive with a manifest.json that names no image for the tree it is", async () => {
    for (const text of ["[]", "{}", "not JSON", '[{"name":"an app"}]'])
      assert.equal((await find([{ path: "manifest.json", body: Buffer.from(text) }])).image, undefined);
  });
});
