// A block of bytes of payload.pack to its header and parts.

const DECODER = new TextDecoder();

function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(DECODER.decode(bytes.subarray(4, 4 + length)));
  let start = 4 + length;
  const parts = header.parts.map((size) => bytes.subarray(start, (start += size)));
  return { header, parts };
}
