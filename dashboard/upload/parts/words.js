// Numbers for readers.

const UNITS = ["bytes", "KB", "MB", "GB", "TB"];

function sizeText(bytes) {
  let at = 0;
  while (bytes >= 1000 && at < UNITS.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${at && bytes < 100 ? bytes.toFixed(1).replace(/\.0$/, "") : Math.round(bytes)} ${UNITS[at]}`;
}

function timeText(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}
