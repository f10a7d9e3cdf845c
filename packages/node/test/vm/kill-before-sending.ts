import { Socket } from "node:net";

/** Has this process killed just before it sends QEMU such a command, which therefore never comes there. */
export function killBeforeSending(isMoment: (message: string) => boolean): void {
  const write = Socket.prototype.write;
  Socket.prototype.write = function (this: Socket, ...args: Parameters<typeof write>) {
    if (isMoment(String(args[0]))) process.kill(process.pid, "SIGKILL");
    return write.apply(this, args);
  } as typeof write;
}
