/** The answer that ends a connection, where Node has none to write it. */
export const lastWords = (status: number, text: string): string =>
  `HTTP/1.1 ${status} ${text}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
