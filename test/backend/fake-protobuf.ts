import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { isObject } from "../../src/util/json.js";

/** The server's side of the protobuf messages: requests become JSON bodies, results become bytes. */

type Take = (reader: BinaryReader) => void;
type Body = Record<string, unknown>;

function read(bytes: Uint8Array, fields: Partial<Record<number, Take>>): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const take = fields[field];
    if (take === undefined) throw new Error(`unexpected field ${field} of type ${type}`);
    take(reader);
  }
}

const copy = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

function entry(bytes: Uint8Array, value: Take): string {
  let name = "";
  read(bytes, {
    1: (reader) => {
      name = reader.string();
    },
    2: value,
  });
  return name;
}

function tensor(bytes: Uint8Array): Body {
  let dense: Uint8Array = new Uint8Array();
  let dtype = 0;
  const shape: number[] = [];
  read(bytes, {
    1: (reader) => {
      dense = reader.bytes();
    },
    3: (reader) => {
      dtype = reader.int32();
    },
    4: (reader) => {
      const packed = new BinaryReader(reader.bytes());
      while (packed.pos < packed.len) shape.push(Number(packed.int64()));
    },
  });
  const data =
    dtype === 1 ? [...new Float32Array(copy(dense))] : [...new BigInt64Array(copy(dense))].map(Number);
  return { data, dtype: dtype === 1 ? "float32" : "int64", shape };
}

function datum(bytes: Uint8Array): Body {
  const chunks: Body[] = [];
  const inputs: Body = {};
  read(bytes, {
    1: (chunk) =>
      read(chunk.bytes(), {
        1: (text) =>
          read(text.bytes(), {
            1: (tokens) => {
              chunks.push({ type: "encoded_text", tokens: [...new Int32Array(copy(tokens.bytes()))] });
            },
          }),
      }),
    2: (reader) => {
      let value: Body = {};
      const name = entry(reader.bytes(), (inner) => {
        value = tensor(inner.bytes());
      });
      inputs[name] = value;
    },
  });
  return { model_input: { chunks }, loss_fn_inputs: inputs };
}

/** A ForwardBackwardRequest as its JSON body. */
export function readRequest(bytes: Uint8Array): Body {
  const body: Body = {};
  const input: Body = {};
  const data: Body[] = [];
  const config: Body = {};
  read(bytes, {
    1: (reader) => {
      body.model_id = reader.string();
    },
    2: (reader) => {
      body.seq_id = reader.int32();
    },
    3: (reader) => {
      data.push(datum(reader.bytes()));
    },
    4: (reader) => {
      input.loss_fn = reader.string();
    },
    5: (reader) => {
      let value = 0;
      const name = entry(reader.bytes(), (inner) => {
        value = inner.double();
      });
      config[name] = value;
    },
    6: (reader) => {
      body.forward_only = reader.bool();
    },
  });
  input.data = data;
  if (Object.keys(config).length > 0) input.loss_fn_config = config;
  return { ...body, forward_backward_input: input };
}

function nested(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

function bytes(writer: BinaryWriter, field: number, array: ArrayBufferView): void {
  writer
    .tag(field, WireType.LengthDelimited)
    .bytes(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
}

/** A result of asample or forward_backward as bytes; undefined for others. */
export function writeResult(result: unknown): Uint8Array | undefined {
  if (!isObject(result)) return undefined;
  const writer = new BinaryWriter();
  if (Array.isArray(result.sequences)) {
    for (const { stop_reason, tokens, logprobs } of result.sequences)
      nested(writer, 1, () => {
        writer.tag(1, WireType.Varint).int32(stop_reason === "length" ? 1 : 0);
        bytes(writer, 2, Int32Array.from(tokens));
        bytes(writer, 3, Float32Array.from(logprobs));
      });
    if (Array.isArray(result.prompt_logprobs))
      bytes(
        writer,
        2,
        Float32Array.from(result.prompt_logprobs as (number | null)[], (v) => v ?? Number.NaN),
      );
    return writer.finish();
  }
  if (!Array.isArray(result.loss_fn_outputs)) return undefined;
  const arrays = (result.loss_fn_outputs as { logprobs: { data: number[] } }[]).map((o) => o.logprobs.data);
  const offsets = [0];
  for (const array of arrays) offsets.push((offsets.at(-1) ?? 0) + 4 * array.length);
  writer.tag(1, WireType.LengthDelimited).string("ArrayRecord");
  nested(writer, 2, () => {
    writer.tag(1, WireType.LengthDelimited).string("ArrayRecord");
    nested(writer, 2, () => {
      writer.tag(1, WireType.LengthDelimited).string("logprobs");
      nested(writer, 2, () => {
        bytes(writer, 1, Float32Array.from(arrays.flat()));
        bytes(writer, 2, BigInt64Array.from(offsets, BigInt));
        writer.tag(3, WireType.Varint).int32(1);
      });
    });
    writer.tag(3, WireType.Varint).int64(arrays.length);
  });
  for (const [name, value] of Object.entries(result.metrics as Record<string, number>))
    nested(writer, 3, () => {
      writer.tag(1, WireType.LengthDelimited).string(name);
      writer.tag(2, WireType.Bit64).double(value);
    });
  return writer.finish();
}
