/** A DNS server: with such TXT records, and with the loopback as the address of whatever name. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { decode, encode, RECURSION_AVAILABLE } from "dns-packet";

export interface TestDns extends AsyncDisposable {
  readonly port: number;
  /** TXT, by name. */
  readonly records: Map<string, string>;
}

const NO_SUCH_NAME = 3;

export async function startDns(): Promise<TestDns> {
  const records = new Map<string, string>();
  const socket = createSocket("udp4");
  socket.on("message", (bytes, from) => {
    const { id, questions = [] } = decode(bytes);
    const [question] = questions;
    const name = question?.name ?? "";
    const data = records.get(name);
    const answers = [
      ...(question?.type === "TXT" && data !== undefined ? [{ type: "TXT" as const, name, ttl: 1, data: [data] }] : []),
      ...(question?.type === "A" ? [{ type: "A" as const, name, ttl: 1, data: "127.0.0.1" }] : []),
    ];
    const isThere = answers.length > 0 || question?.type === "AAAA";
    const flags = RECURSION_AVAILABLE | (isThere ? 0 : NO_SUCH_NAME);
    socket.send(encode({ type: "response", id: id ?? 0, flags, questions, answers }), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    port: socket.address().port,
    records,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}
