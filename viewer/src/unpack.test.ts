import { gzipSync } from "node:zlib";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sha256 } from "./sha256";
import { unpack } from "./unpack";

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("sha256", () => {
  it.each([0, 1, 55, 56, 63, 64, 65, 1000])("agrees with another implementation on %i bytes", (n) => {
    const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 37) & 255);
    expect(sha256(bytes)).toBe(digest(bytes));
  });
});

describe("unpack", () => {
  const raw = Uint8Array.from({ length: 5000 }, (_, i) => (i * i) & 255);

  it("gives back what was packed, and what a server has unpacked already", async () => {
    expect(await unpack("a", gzipSync(raw), raw.length, digest(raw))).toEqual(raw);
    expect(await unpack("a", raw, raw.length, digest(raw))).toEqual(raw);
  });

  it("stops a bomb at the promised size", async () => {
    const bomb = gzipSync(new Uint8Array(1 << 24));
    await expect(unpack("bomb", bomb, 100, digest(raw))).rejects.toThrow("bomb: it unpacks to more than 100 bytes");
  });

  it("names a chunk that is damaged, cut short or another one", async () => {
    const packed = gzipSync(raw);
    await expect(unpack("a", packed.subarray(0, 40), raw.length, digest(raw))).rejects.toThrow("a: it cannot be unpacked");
    await expect(unpack("a", gzipSync(raw.subarray(1)), raw.length, digest(raw))).rejects.toThrow("a: wanted 5000 bytes, found 4999");
    await expect(unpack("a", packed, raw.length, digest(raw.subarray(1)))).rejects.toThrow("its SHA-256 is another one");
  });
});
