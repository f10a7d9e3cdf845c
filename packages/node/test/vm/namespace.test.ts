import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { silentLogger } from "@mags/core";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { loadArtifacts } from "../../src/images/artifacts.ts";
import { GUEST_NETWORK, parseCidr } from "../../src/network/addresses.ts";
import { type NetworkManager, openNetworkManager } from "../../src/network/network-manager.ts";
import { ARTIFACTS } from "./support.ts";

const PREFIX = "tns";
const BURST = 400;

/** Takes the guest's place at the tap and sends UDP packets to the gateway's port 53, as fast as it can. */
const GUEST = `
import fcntl, os, struct, sys
count = int(sys.argv[1])
mac = lambda text: bytes.fromhex(text.replace(":", ""))
ip = lambda text: bytes(int(part) for part in text.split("."))
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x0002 | 0x1000 | 0x4000))
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16: total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
payload = b"q" * 32
for n in range(count):
    udp = struct.pack("!HHHH", 5000, 53, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), n & 0xFFFF, 0, 64, 17, 0) + ip("${GUEST_NETWORK.guestAddress}") + ip("${GUEST_NETWORK.gatewayAddress}")
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    frame = mac("${GUEST_NETWORK.gatewayMac}") + mac("${GUEST_NETWORK.guestMac}") + b"\\x08\\x00" + header + udp
    os.write(tap, bytes(10) + frame)
`;

describe("a guest's namespace", () => {
  let dir: TempDir;
  let network: NetworkManager;
  const open = async (prefix: string) =>
    openNetworkManager(
      { runtime: (await loadArtifacts(ARTIFACTS)).runtime, log: silentLogger },
      {
        ...{ prefix, uplinkRange: parseCidr("10.249.0.0/24"), exceptions: [], denied: [] },
        caps: { bandwidthMbit: 0, maxConnections: 100, newConnectionsPerSecond: 100 },
        ...{ forwardingRecord: `${dir.path}/forwarding`, bootId: "this" },
      },
    );

  before(async () => {
    dir = await makeTempDir();
    network = await open(PREFIX);
    await network.create(1);
  });
  after(async () => {
    await network.remove(1);
    await network.removeHostSide();
    await dir[Symbol.asyncDispose]();
  });

  it("cannot be named as the packet filter names other things", async () => {
    await assert.rejects(open("tcp"), {
      code: "validation_failed",
      message: /node\.network\.prefix: "tcp" .*another prefix/,
    });
  });

  /** @returns How many of them the name service got. */
  async function arrived(count: number): Promise<number> {
    const service = createSocket("udp4");
    let received = 0;
    service.on("message", () => received++);
    service.bind(53, network.dnsAddress);
    await once(service, "listening");
    const args = ["netns", "exec", `${PREFIX}-1`, "python3", "-c", GUEST, String(count)];
    await promisify(execFile)("ip", args);
    let before = -1;
    const atRest = () => {
      const same = before === received;
      before = received;
      return same;
    };
    await waitFor(atRest, { what: "the last packet", intervalMs: 200 });
    service.close();
    return received;
  }

  it("lets a guest ask the name service 200 times a second, and twice as many in a burst", async () => {
    assert.equal(await arrived(10), 10);
    const got = await arrived(5_000);
    assert.ok(got > BURST / 2 && got < 2 * BURST, `${got} of 5000 passed`);
  });
});
