"""The protocol's protobuf messages: `forward_backward` requests in, its results and those of `asample` out.

Only these three messages travel as protobuf, so the wire format is read and written here by hand and the worker needs no
protobuf package; the tests compare with the classes of the official SDK. Requests become the same objects that the JSON
encoding gives (with numpy arrays where JSON has lists of numbers), so that one reader checks both. Arrays on the wire are
little-endian bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from .errors import RequestError

CONTENT_TYPE = "application/x-protobuf"

DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<i8")}
DTYPE_NAMES = {1: "float32", 2: "int64"}
STOP_REASONS = {"stop": 0, "length": 1}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Malformed(Exception):
    pass


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int, object]]:
    """Field number, wire type and value (an unsigned int, or a view of the bytes) of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, kind, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _Malformed
        if at + size > len(data):
            raise _Malformed
        yield number, kind, data[at : at + size]
        at += size


def _bytes(value: object) -> memoryview:
    if not isinstance(value, memoryview):
        raise _Malformed
    return value


def _text(value: object) -> str:
    try:
        return str(_bytes(value), "utf-8")
    except UnicodeDecodeError as error:
        raise _Malformed from error


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise _Malformed
    return value - 2**64 if value >= 2**63 else value


def _double(value: object) -> float:
    data = _bytes(value)
    if len(data) != 8:
        raise _Malformed
    return float(struct.unpack("<d", data)[0])


def _array(value: object, dtype: np.dtype) -> np.ndarray:
    data = _bytes(value)
    if len(data) % dtype.itemsize:
        raise _Malformed
    return np.frombuffer(data, dtype=dtype)


def _entry(value: object) -> tuple[str, object]:
    """Key and raw value of a map's entry."""
    key, content = "", None
    for number, _, field in _fields(_bytes(value)):
        if number == 1:
            key = _text(field)
        elif number == 2:
            content = field
    return key, content


def _tensor(value: object) -> dict[str, object]:
    dense, code, shape = None, 0, []
    found: dict[str, object] = {}
    for number, kind, field in _fields(_bytes(value)):
        if number == 1:
            dense = field
        elif number == 2:
            found["sparse"] = True
        elif number == 3:
            code = _integer(field)
        elif number == 4:
            if kind == _VARINT:
                shape.append(_integer(field))
            else:
                packed, at = _bytes(field), 0
                while at < len(packed):
                    size, at = _varint(packed, at)
                    shape.append(_integer(size))
    dtype = DTYPES.get(code)
    found["dtype"] = DTYPE_NAMES.get(code, f"number {code}")
    if shape:
        found["shape"] = shape
    found["data"] = _array(dense if dense is not None else memoryview(b""), dtype) if dtype is not None else []
    return found


def _chunk(value: object) -> dict[str, object]:
    found: dict[str, object] = {"type": "empty"}
    for number, _, field in _fields(_bytes(value)):
        if number == 1:
            tokens: object = memoryview(b"")
            for inner, _, content in _fields(_bytes(field)):
                if inner == 1:
                    tokens = content
            found = {"type": "encoded_text", "tokens": _array(tokens, np.dtype("<i4"))}
        else:
            found = {"type": {2: "image", 3: "dmel"}.get(number, f"number {number}")}
    return found


def _datum(value: object) -> dict[str, object]:
    chunks: list[object] = []
    inputs: dict[str, object] = {}
    for number, _, field in _fields(_bytes(value)):
        if number == 1:
            chunks.append(_chunk(field))
        elif number == 2:
            name, content = _entry(field)
            inputs[name] = _tensor(content if content is not None else memoryview(b""))
    return {"model_input": {"chunks": chunks}, "loss_fn_inputs": inputs}


def _option(value: object) -> object:
    """A LossConfigValue: a number or a text."""
    found: object = None
    for number, _, field in _fields(_bytes(value)):
        found = _double(field) if number == 1 else _text(field)
    return found


def read_forward_backward(raw: bytes) -> dict[str, object]:
    """A ForwardBackwardRequest as the JSON encoding has it, with `forward_only`."""
    request: dict[str, object] = {"seq_id": 0, "forward_only": False}
    given: dict[str, object] = {}
    data: list[object] = []
    options: dict[str, object] = {}
    newer: dict[str, object] = {}
    try:
        for number, _, field in _fields(memoryview(raw)):
            if number == 1:
                request["model_id"] = _text(field)
            elif number == 2:
                request["seq_id"] = _integer(field)
            elif number == 3:
                data.append(_datum(field))
            elif number == 4:
                given["loss_fn"] = _text(field)
            elif number == 5:
                name, content = _entry(field)
                options[name] = 0.0 if content is None else _double(content)
            elif number == 6:
                request["forward_only"] = _integer(field) != 0
            elif number == 7:
                name, content = _entry(field)
                newer[name] = None if content is None else _option(content)
    except _Malformed as error:
        raise RequestError("body: is not a ForwardBackwardRequest in protobuf", field="body") from error
    given["data"] = data
    if options or newer:
        given["loss_fn_config"] = {**options, **newer}
    request["forward_backward_input"] = given
    return request


def _write_varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _write(number: int, value: bytes | str | int) -> bytes:
    """A field; zero and empty values are left out by the callers that may."""
    if isinstance(value, int):
        return _write_varint(number << 3 | _VARINT) + _write_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _write_varint(number << 3 | _BYTES) + _write_varint(len(content)) + content


def write_result(result: dict[str, object]) -> bytes | None:
    """A future's result as protobuf, or None where the protocol has only JSON for it."""
    if result.get("type") == "sample":
        return _sample(result)
    if result.get("type") == "forward_backward":
        return _losses(result)
    return None


def _sample(result: dict[str, object]) -> bytes:
    parts: list[bytes] = []
    for sequence in result["sequences"]:  # type: ignore[attr-defined]
        body = _write(1, STOP_REASONS[sequence["stop_reason"]])
        body += _write(2, np.asarray(sequence["tokens"], dtype="<i4").tobytes())
        body += _write(3, np.asarray(sequence["logprobs"], dtype="<f4").tobytes())
        parts.append(_write(1, body))
    scores = result.get("prompt_logprobs")
    if scores is not None:
        parts.append(_write(2, np.array([np.nan if v is None else v for v in scores], dtype="<f4").tobytes()))  # type: ignore[attr-defined]
    return b"".join(parts)


def _losses(result: dict[str, object]) -> bytes:
    outputs: Sequence[dict[str, dict[str, object]]] = result["loss_fn_outputs"]  # type: ignore[assignment]
    arrays = [np.asarray(output["logprobs"]["data"], dtype="<f4") for output in outputs]
    offsets = np.cumsum([0, *(array.nbytes for array in arrays)], dtype="<i8")
    tensor = _write(1, b"".join(array.tobytes() for array in arrays)) + _write(2, offsets.tobytes()) + _write(3, 1)
    record = _write(1, "ArrayRecord") + _write(2, _write(1, "logprobs") + _write(2, tensor)) + _write(3, len(arrays))
    parts = [_write(1, "ArrayRecord"), _write(2, record)]
    for name, value in result["metrics"].items():  # type: ignore[attr-defined]
        number = _write_varint(2 << 3 | _FIXED64) + struct.pack("<d", value)
        parts.append(_write(3, _write(1, name) + number))
    return b"".join(parts)
