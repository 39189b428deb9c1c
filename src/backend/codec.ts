/**
 * How bodies are written on the wire. The client is written against this, so that another encoding (the training API
 * also has a protobuf one) is one more object and no change elsewhere.
 */
export interface Codec {
  readonly contentType: string;
  readonly accept: string;
  encode(path: string, body: unknown): string | Uint8Array;
  /** Throws when the bytes cannot be read. */
  decode(path: string, contentType: string, bytes: Uint8Array): unknown;
}

export const jsonCodec: Codec = {
  contentType: "application/json",
  accept: "application/json",
  encode: (_path, body) => JSON.stringify(body),
  decode: (_path, _contentType, bytes) =>
    bytes.length === 0 ? null : (JSON.parse(new TextDecoder().decode(bytes)) as unknown),
};
