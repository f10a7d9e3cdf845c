import { StringDecoder } from "node:string_decoder";
import { clientError } from "./errors.ts";

export interface ServerSentEvent {
  /** `message` when the stream names none. */
  readonly event: string;
  readonly data: string;
  /** The last id that the stream gave, on this event or before it; empty: none yet. */
  readonly id: string;
}

export interface EventParser {
  /**
   * The events that these bytes complete. What is incomplete is kept; at the end of the stream it counts as lost.
   * @throws MagsError `unexpected_reply` when an event is too large.
   */
  push(bytes: Uint8Array): ServerSentEvent[];
}

/** Far beyond any event of the API; keeps a stream that is none from filling the memory. */
const MAX_EVENT_CHARACTERS = 16 * 1024 * 1024;

/**
 * Parses an event stream as the HTML standard describes it ("9.2.6 Interpreting an event stream"), however its bytes
 * are cut. The field `retry` is ignored: the pace of reconnecting is the client's.
 * @param onComment  Called for each comment: it carries nothing but that the server is there.
 */
export function createEventParser(onComment: () => void = () => {}): EventParser {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  let atStart = true;
  /** The text so far ended in CR: an LF that follows belongs to the same line break. */
  let afterCarriageReturn = false;
  let event = "";
  let data: string[] = [];
  let id = "";

  function readLine(line: string, events: ServerSentEvent[]): void {
    if (line === "") {
      if (data.length > 0) events.push({ event: event || "message", data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) onComment();
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
  }

  return {
    push(bytes) {
      let text = rest + decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      const events: ServerSentEvent[] = [];
      if (text === "") return events;
      if (atStart && text.startsWith("\ufeff")) text = text.slice(1);
      if (afterCarriageReturn && text.startsWith("\n")) text = text.slice(1);
      atStart = false;
      let start = 0;
      for (const { 0: lineBreak, index } of text.matchAll(/\r\n?|\n/g)) {
        readLine(text.slice(start, index), events);
        start = index + lineBreak.length;
      }
      afterCarriageReturn = start === text.length && text.endsWith("\r");
      rest = text.slice(start);
      if (rest.length + data.reduce((sum, part) => sum + part.length, 0) > MAX_EVENT_CHARACTERS)
        throw clientError("unexpected_reply", "an event of the stream is too large to be one of a Mags server");
      return events;
    },
  };
}
