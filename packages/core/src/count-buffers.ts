import { setFlagsFromString } from "node:v8";

/**
 * Has V8 count the bytes of buffers as it counts its heap. By itself it collects all of the heap whenever some 64 MiB of
 * buffers have come, also when they are gone again: in a process through which bytes pass that is most of its work. For the
 * whole process; to be called first.
 */
export function countBuffersAsHeap(): void {
  setFlagsFromString("--external-memory-accounted-in-global-limit");
}
