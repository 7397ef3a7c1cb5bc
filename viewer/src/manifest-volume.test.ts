import { describe, expect, it } from "vitest";
import { BadManifest } from "./checks";
import type { Chunk, NodeBase } from "./manifest";
import { layers, parseVolume } from "./manifest-volume";

const good = {
  stands_in: false, extent: 1, contracted: false, near: 0, steps: [0.01, 0.01, 0], max_samples: 1024, unit: 0.01, reach: [14, 7],
  cascades: 1, grid: 16, resolution: 32, atlas: [2, 2, 1], planes: 24,
};

const chunk = (part: string, first: number, count: number, rawBytes: number): Chunk =>
  ({ file: "a_0123456789ab.bin", part, rawBytes, bytes: 1, level: 0, sha256: "", values: { first, count } });
const base = (chunks: Chunk[]): NodeBase => ({ name: "v", visible: true, pageFromNode: [], chunks });

describe("parseVolume", () => {
  it("reads a good one and knows the size of every part", () => {
    const volume = parseVolume(good, "v", base([chunk("planes", 4, 2, 2 * 4 * 24)]));
    expect(layers(volume, "atlas")).toEqual([2 * 9, 4 * 18 * 18]);
    expect(layers(volume, "occupancy")).toEqual([16, 256]);
  });

  it.each<[string, object, Chunk[], string]>([
    ["a grid that is no whole number of blocks", { resolution: 33 }, [], "multiple of 8"],
    ["an atlas beyond any texture", { atlas: [500, 1, 1] }, [], "atlas[0]: wanted a number"],
    ["steps that stand still", { steps: [0, 1, 0] }, [], "0 < smallest"],
    ["planes beyond any texture", { planes: 1e6 }, [], "planes: wanted a number"],
    ["samples without end", { max_samples: 1e9 }, [], "max_samples: wanted a number"],
    ["a chunk of another size", {}, [chunk("planes", 0, 2, 5)], "wrong size"],
    ["a chunk beyond its part", {}, [chunk("planes", 143, 2, 192)], "count of"],
    ["an unknown part", {}, [chunk("script", 0, 1, 1)], "part of"],
  ])("refuses %s", (_, change, chunks, sentence) => {
    expect(() => parseVolume({ ...good, ...change }, "v", base(chunks))).toThrow(BadManifest);
    expect(() => parseVolume({ ...good, ...change }, "v", base(chunks))).toThrow(sentence);
  });
});
