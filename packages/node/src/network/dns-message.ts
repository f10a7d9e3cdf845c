/** The little of DNS messages (RFC 1035) that a forwarder must know. */

const HEADER_BYTES = 12;
const SERVER_FAILURE = 2;

/**
 * The answer "server failure" to a query, so that who asked need not wait for a time-out.
 * @returns nothing when the query cannot be read.
 */
export function serverFailure(query: Buffer): Buffer | undefined {
  const end = endOfQuestion(query);
  if (end === undefined) return undefined;
  const answer = Buffer.from(query.subarray(0, end));
  answer.writeUInt8(answer.readUInt8(2) | 0x80, 2); // it is a response
  answer.writeUInt8(0x80 | SERVER_FAILURE, 3); // recursion available
  answer.writeUInt16BE(1, 4);
  answer.fill(0, 6, HEADER_BYTES); // no records follow the question
  return answer;
}

function endOfQuestion(query: Buffer): number | undefined {
  if (query.length < HEADER_BYTES || query.readUInt16BE(4) !== 1) return undefined;
  let offset = HEADER_BYTES;
  while (offset < query.length) {
    const length = query.readUInt8(offset);
    if (length > 63) return undefined; // a pointer: not in a question
    offset += length + 1;
    if (length === 0) return offset + 4 <= query.length ? offset + 4 : undefined;
  }
  return undefined;
}
