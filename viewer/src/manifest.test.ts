import { describe, expect, it } from "vitest";
import { BadManifest } from "./checks";
import { parseManifest } from "./manifest";

const chunk = { file: "base_0123456789ab.bin", part: "base", level: 0, codec: "gzip", bytes: 90, raw_bytes: 34, sha256: "0".repeat(64), block: 0 };
const block = { count: 2, lower: [0, 0, 0], upper: [1, 1, 1], log_scale: [-5, -4], color: [0, 1] };
const place = { scale: 1, rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0, 0, 0] };
const splats = { kind: "splats", name: "a", visible: true, page_from_node: place, count: 2, degree: 0, antialiased: false, near: 0.01, blocks: [block], chunks: [chunk] };
const good = {
  format: "scenekit-web",
  version: 1,
  title: "t",
  up: [0, 1, 0],
  focus: [0, 0, 0],
  background: [0, 0, 0],
  initial: 0,
  bookmarks: [{ name: "p", pose: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], intrinsics: [10, 10, 5, 5], size: [10, 10] }],
  nodes: [splats],
};

const withNode = (change: object): object => ({ ...good, nodes: [{ ...splats, ...change }] });
const withChunk = (change: object): object => withNode({ chunks: [{ ...chunk, ...change }] });

describe("parseManifest", () => {
  it("reads a good one", () => {
    const { nodes } = parseManifest(JSON.stringify(good));
    expect(nodes[0].kind).toBe("splats");
    expect(nodes[0].chunks[0].rawBytes).toBe(34);
  });

  it.each<[string, unknown, string]>([
    ["another format", { ...good, version: 2 }, "version 1"],
    ["a path upwards", withChunk({ file: "../secret_0123456789ab.bin" }), "wanted a name such as"],
    ["another host", withChunk({ file: "https://evil.example/a_0123456789ab.bin" }), "wanted a name such as"],
    ["a huge chunk", withChunk({ raw_bytes: 1e12 }), "raw_bytes: wanted a number"],
    ["a chunk of another size than its block", withChunk({ raw_bytes: 35 }), "wrong size"],
    ["a chunk of no block", withChunk({ block: 7 }), "block of"],
    ["a hash that is none", withChunk({ sha256: "abc" }), "64 hexadecimal digits"],
    ["a hash that is missing", withChunk({ sha256: undefined }), "wanted text of at most 200 characters, found nothing"],
    ["too many splats", withNode({ count: 1e9 }), "count: wanted a number"],
    ["counts that do not add up", withNode({ count: 3 }), "do not add up"],
    ["a degree that is not built", withNode({ degree: 4 }), "degree: wanted a number"],
    ["numbers that are none", withNode({ near: "0.01" }), "near: wanted a number"],
    ["a list for an object", { ...good, nodes: [[]] }, "wanted an object"],
    ["a rotation that is none", withNode({ page_from_node: { ...place, rotation: [[1, 0, 0], [0, 1, 0], [0, 1, 0]] } }), "it is no rotation"],
    ["an unknown kind", withNode({ kind: "script" }), "kind: wanted splats"],
    ["no cameras", { ...good, bookmarks: [] }, "at least one camera"],
    ["too many nodes", { ...good, nodes: Array(65).fill(splats) }, "a list of at most 64"],
    ["a background beyond white", { ...good, background: [2, 0, 0] }, "a number from 0 to 1"],
    ["nothing", null, "wanted an object"],
  ])("refuses %s", (_, manifest, sentence) => {
    expect(() => parseManifest(JSON.stringify(manifest))).toThrow(BadManifest);
    expect(() => parseManifest(JSON.stringify(manifest))).toThrow(sentence);
  });

  it("refuses what is not JSON", () => {
    expect(() => parseManifest("{")).toThrow("it is not JSON");
  });
});
