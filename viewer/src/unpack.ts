// What arrives: gunzipped up to the promised size and no further, and compared with its hash.

import { sha256 } from "./sha256";

export class BadChunk extends Error {}

/** The raw bytes; throws BadChunk where they are not what the manifest promised. */
export async function unpack(file: string, packed: Uint8Array, rawBytes: number, hash: string): Promise<Uint8Array> {
  // A server may have unpacked it already (Content-Encoding: gzip); the hash is of the raw bytes for that reason.
  const zipped = packed[0] === 0x1f && packed[1] === 0x8b;
  const raw = zipped ? await gunzip(file, packed, rawBytes) : packed;
  if (raw.length !== rawBytes) throw new BadChunk(`${file}: wanted ${rawBytes} bytes, found ${raw.length}`);
  if (sha256(raw) !== hash) throw new BadChunk(`${file}: it is damaged, its SHA-256 is another one`);
  return raw;
}

async function gunzip(file: string, packed: Uint8Array, most: number): Promise<Uint8Array> {
  const raw = new Uint8Array(most);
  let filled = 0;
  const source = new Blob([packed as BlobPart]).stream().pipeThrough(new DecompressionStream("gzip"));
  const reader = source.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return raw.subarray(0, filled);
      if (filled + value.length > most) throw new BadChunk(`${file}: it unpacks to more than ${most} bytes`);
      raw.set(value, filled);
      filled += value.length;
    }
  } catch (error) {
    throw error instanceof BadChunk ? error : new BadChunk(`${file}: it cannot be unpacked, it is damaged or cut short`);
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
