/** The little of DNS messages (RFC 1035) that a forwarder must know of what a guest sends. */

const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const SERVER_FAILURE = 2;
const REFUSED = 5;
/** Host names and service names. Whoever sends other bytes does not want what an allow-list can name. */
const LABEL = /^[A-Za-z0-9_-]+$/;

/**
 * The answer "server failure" to a query, so that who asked need not wait for a time-out.
 * @returns nothing when the query cannot be read.
 */
export function serverFailure(query: Buffer): Buffer | undefined {
  return failure(query, SERVER_FAILURE);
}

/** The answer "refused": the server does not do this for whom asks. @returns nothing when the query cannot be read. */
export function refusal(query: Buffer): Buffer | undefined {
  return failure(query, REFUSED);
}

/** Zone transfers: IXFR and AXFR. */
const TRANSFERS = [251, 252];

/**
 * Whether a message asks one question, and for records. Guests ask in the host's name: what a server lets the host do
 * beside that (changes, transfers of whole zones) is not for them.
 */
export function isOrdinaryQuery(message: Buffer): boolean {
  const question = readQuestion(message);
  const opcodeAndResponse = message.length > 2 ? message.readUInt8(2) & 0xf8 : 0xff;
  return (
    question !== undefined && opcodeAndResponse === 0 && !TRANSFERS.includes(message.readUInt16BE(question.end - 4))
  );
}

/**
 * The name that a query asks for, lower case, without a dot at the end.
 * @returns nothing when it asks for none, for several, or for one with other bytes than letters, digits, `-` and `_`.
 */
export function askedName(query: Buffer): string | undefined {
  const question = readQuestion(query);
  if (!question || question.labels.length === 0 || !question.labels.every((label) => LABEL.test(label)))
    return undefined;
  return question.labels.join(".").toLowerCase();
}

function failure(query: Buffer, code: number): Buffer | undefined {
  const question = readQuestion(query);
  if (!question) return undefined;
  const answer = Buffer.from(query.subarray(0, question.end));
  answer.writeUInt8(answer.readUInt8(2) | 0x80, 2); // it is a response
  answer.writeUInt8(0x80 | code, 3); // recursion available
  answer.writeUInt16BE(1, 4);
  answer.fill(0, 6, HEADER_BYTES); // no records follow the question
  return answer;
}

function readQuestion(query: Buffer): { readonly labels: readonly string[]; readonly end: number } | undefined {
  if (query.length < HEADER_BYTES || query.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let offset = HEADER_BYTES;
  while (offset < query.length && offset - HEADER_BYTES <= MAX_NAME_BYTES) {
    const length = query.readUInt8(offset);
    if (length > 63) return undefined; // a pointer: not in a question
    if (length === 0) return offset + 5 <= query.length ? { labels, end: offset + 5 } : undefined;
    labels.push(query.toString("latin1", offset + 1, offset + 1 + length));
    offset += length + 1;
  }
  return undefined;
}
