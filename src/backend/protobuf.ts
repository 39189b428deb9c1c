import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/**
 * The protobuf messages of the training API: the request of `forward_backward`, and the results of it and of `asample`.
 * Servers since SDK 0.25 take and give only these. Field numbers are those of the official SDK's `tinker_public.proto`;
 * arrays are little-endian bytes. Results come out in the shapes of the JSON encoding.
 */

export const protobufType = "application/x-protobuf";

interface TensorBody {
  data: readonly number[];
  dtype: "int64" | "float32";
  shape: readonly number[];
}

/** The JSON body of `forward_backward`. */
export interface ForwardBackwardBody {
  model_id: string;
  seq_id: number;
  forward_only?: boolean;
  forward_backward_input: {
    data: readonly {
      model_input: { chunks: readonly { tokens: readonly number[] }[] };
      loss_fn_inputs: Readonly<Record<string, TensorBody>>;
    }[];
    loss_fn: string;
    loss_fn_config?: Readonly<Record<string, number>>;
  };
}

const dtypes = { float32: 1, int64: 2 } as const;

/** Writes a nested message. */
function nested(writer: BinaryWriter, field: number, write: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function tensorBytes({ data, dtype }: TensorBody): Uint8Array {
  return bytesOf(dtype === "float32" ? Float32Array.from(data) : BigInt64Array.from(data, BigInt));
}

export function encodeForwardBackward(body: ForwardBackwardBody): Uint8Array<ArrayBuffer> {
  const { data, loss_fn, loss_fn_config } = body.forward_backward_input;
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).string(body.model_id);
  writer.tag(2, WireType.Varint).int32(body.seq_id);
  for (const datum of data)
    nested(writer, 3, () => {
      for (const { tokens } of datum.model_input.chunks)
        nested(writer, 1, () =>
          nested(writer, 1, () =>
            writer.tag(1, WireType.LengthDelimited).bytes(bytesOf(Int32Array.from(tokens))),
          ),
        );
      for (const [name, tensor] of Object.entries(datum.loss_fn_inputs))
        nested(writer, 2, () => {
          writer.tag(1, WireType.LengthDelimited).string(name);
          nested(writer, 2, () => {
            writer.tag(1, WireType.LengthDelimited).bytes(tensorBytes(tensor));
            writer.tag(3, WireType.Varint).int32(dtypes[tensor.dtype]);
            nested(writer, 4, () => {
              for (const size of tensor.shape) writer.int64(size);
            });
          });
        });
    });
  writer.tag(4, WireType.LengthDelimited).string(loss_fn);
  for (const [name, value] of Object.entries(loss_fn_config ?? {}))
    nested(writer, 5, () => {
      writer.tag(1, WireType.LengthDelimited).string(name);
      writer.tag(2, WireType.Bit64).double(value);
    });
  if (body.forward_only === true) writer.tag(6, WireType.Varint).bool(true);
  return new Uint8Array(writer.finish());
}

type Fields = Partial<Record<number, (reader: BinaryReader) => void>>;

/** Calls `fields[n]` for each field n of the message and skips the others. */
function read(bytes: Uint8Array, fields: Fields): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const take = fields[field];
    if (take === undefined) reader.skip(type);
    else take(reader);
  }
}

/** An array of its own: the bytes may lie anywhere in the message, typed arrays need their alignment. */
const aligned = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
const float32s = (bytes: Uint8Array): number[] => [...new Float32Array(aligned(bytes))];
const int32s = (bytes: Uint8Array): number[] => [...new Int32Array(aligned(bytes))];

/** A SampleResponse. */
export function decodeSample(bytes: Uint8Array): unknown {
  const sequences: unknown[] = [];
  let promptLogprobs: (number | null)[] | null = null;
  read(bytes, {
    1: (reader) => {
      const sequence = { stop_reason: "stop", tokens: [] as number[], logprobs: [] as number[] };
      read(reader.bytes(), {
        1: (inner) => {
          sequence.stop_reason = inner.int32() === 1 ? "length" : "stop";
        },
        2: (inner) => {
          sequence.tokens = int32s(inner.bytes());
        },
        3: (inner) => {
          sequence.logprobs = float32s(inner.bytes());
        },
      });
      sequences.push(sequence);
    },
    2: (reader) => {
      promptLogprobs = float32s(reader.bytes()).map((value) => (Number.isNaN(value) ? null : value));
    },
  });
  return { type: "sample", sequences, prompt_logprobs: promptLogprobs };
}

/** A ForwardBackwardOutput; only its `logprobs` are read. */
export function decodeLosses(bytes: Uint8Array): unknown {
  const outputs: { logprobs: { data: number[] } }[] = [];
  const metrics: Record<string, number> = {};
  read(bytes, {
    2: (record) =>
      read(record.bytes(), {
        2: (entry) => {
          let name = "";
          let tensor = new Uint8Array();
          read(entry.bytes(), {
            1: (reader) => {
              name = reader.string();
            },
            2: (reader) => {
              tensor = new Uint8Array(reader.bytes());
            },
          });
          if (name === "logprobs") for (const data of batched(tensor)) outputs.push({ logprobs: { data } });
        },
      }),
    3: (entry) => {
      let name = "";
      let value = 0;
      read(entry.bytes(), {
        1: (reader) => {
          name = reader.string();
        },
        2: (reader) => {
          value = reader.double();
        },
      });
      metrics[name] = value;
    },
  });
  return { type: "forward_backward", loss_fn_outputs: outputs, metrics };
}

/** A BatchedTensor of float32 (or bfloat16) numbers, one array per datum. */
function batched(bytes: Uint8Array): number[][] {
  let data: Uint8Array = new Uint8Array();
  let offsets: number[] = [];
  let dtype = 0;
  read(bytes, {
    1: (reader) => {
      data = reader.bytes();
    },
    2: (reader) => {
      offsets = [...new BigInt64Array(aligned(reader.bytes()))].map(Number);
    },
    3: (reader) => {
      dtype = reader.int32();
    },
  });
  const numbers = (part: Uint8Array): number[] => {
    if (dtype === dtypes.float32) return float32s(part);
    // bfloat16: the upper half of a float32.
    if (dtype === 4)
      return [
        ...new Float32Array(Uint32Array.from(new Uint16Array(aligned(part)), (half) => half << 16).buffer),
      ];
    throw new Error(`logprobs have the dtype ${dtype}`);
  };
  return offsets.slice(1).map((end, index) => numbers(data.subarray(offsets[index], end)));
}
