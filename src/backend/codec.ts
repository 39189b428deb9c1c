import {
  decodeLosses,
  decodeSample,
  encodeForwardBackward,
  type ForwardBackwardBody,
  protobufType,
} from "./protobuf.js";

/** How bodies are written on the wire. `call` is the call that a body belongs to, also where its result is polled. */
export interface Codec {
  /** The encodings of a result that are understood, for the `Accept` header. */
  readonly accept: string;
  encode(call: string, body: unknown): { contentType: string; content: string | Uint8Array<ArrayBuffer> };
  /** Throws when the bytes cannot be read. */
  decode(call: string, contentType: string, bytes: Uint8Array): unknown;
}

export const jsonCodec: Codec = {
  accept: "application/json",
  encode: (_call, body) => ({ contentType: "application/json", content: JSON.stringify(body) }),
  decode: (_call, _contentType, bytes) =>
    bytes.length === 0 ? null : (JSON.parse(new TextDecoder().decode(bytes)) as unknown),
};

/** Protobuf for the request of `forward_backward` and the results of it and of `asample`; JSON for all else. */
export const protobufCodec: Codec = {
  accept: `${protobufType}, application/json`,
  encode: (call, body) =>
    call === "forward_backward"
      ? { contentType: protobufType, content: encodeForwardBackward(body as ForwardBackwardBody) }
      : jsonCodec.encode(call, body),
  decode: (call, contentType, bytes) => {
    if (!contentType.includes(protobufType)) return jsonCodec.decode(call, contentType, bytes);
    return call === "asample" ? decodeSample(bytes) : decodeLosses(bytes);
  },
};
