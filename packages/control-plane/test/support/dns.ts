/** A DNS server with TXT records and no others. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { decode, encode, RECURSION_AVAILABLE } from "dns-packet";

export interface TestDns extends AsyncDisposable {
  readonly port: number;
  /** By name. */
  readonly records: Map<string, string>;
}

const NO_SUCH_NAME = 3;

export async function startDns(): Promise<TestDns> {
  const records = new Map<string, string>();
  const socket = createSocket("udp4");
  socket.on("message", (bytes, from) => {
    const { id, questions = [] } = decode(bytes);
    const [question] = questions;
    const data = question && records.get(question.name);
    const answers =
      data === undefined ? [] : [{ type: "TXT" as const, name: question?.name ?? "", ttl: 1, data: [data] }];
    const flags = RECURSION_AVAILABLE | (data === undefined ? NO_SUCH_NAME : 0);
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
