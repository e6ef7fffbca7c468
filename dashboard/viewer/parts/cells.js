// Takes the probabilities of an image for the viewer.

export default function ({ data }) {
  const { header, parts } = unpack(data);
  holdCells(header.id, unpack(parts[0]).parts);
}
