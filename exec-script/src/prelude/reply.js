// Finds the bytes in the result of a handler.

const toBase64 = Function.prototype.call.bind(Uint8Array.prototype.toBase64);

const bytesOf = (value) => {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : null;
};

// The bytes of a result, or of the body of a response, in Base64, their number, and the rest of the
// response. `null` if there are no bytes.
const takeBytes = (result, isResponse) => {
  const bytes = bytesOf(isResponse ? result.body : result);
  if (bytes === null) return null;
  const { body, ...rest } = isResponse ? result : {};
  return { base64: toBase64(bytes), length: bytes.length, rest };
};
