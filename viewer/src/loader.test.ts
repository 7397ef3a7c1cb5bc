import { expect, it } from "vitest";
import { begun, Loader, type Source, type Wanted } from "./loader";
import type { Chunk } from "./manifest";

const chunk = (file: string, level: number): Chunk => ({ file, level, bytes: 10, rawBytes: 20, sha256: "", part: "base", values: {} });
const wanted = (c: Chunk, seen: () => boolean = () => true): Wanted => ({ chunk: c, job: { kind: "raw" }, seen, done: () => undefined });
const settle = (): Promise<void> => new Promise((wake) => setTimeout(wake));

/** A line that brings a file when it is told to. */
function line(): { source: Source; asked: string[]; bring: (file: string) => Promise<void>; lose: (file: string) => Promise<void> } {
  const asked: string[] = [];
  const waiting = new Map<string, { resolve: (bytes: Uint8Array) => void; reject: (error: Error) => void }>();
  const source: Source = (file) => {
    asked.push(file);
    return new Promise((resolve, reject) => waiting.set(file, { resolve, reject }));
  };
  const bring = (file: string): Promise<void> => (waiting.get(file)!.resolve(new Uint8Array(10)), settle());
  const lose = (file: string): Promise<void> => (waiting.get(file)!.reject(new Error("gone")), settle());
  return { source, asked, bring, lose };
}

const load = (chunks: Wanted[], source: Source): Loader => {
  const loader = new Loader(chunks, source, () => undefined, () => undefined);
  loader.start();
  return loader;
};

it("leaves the line to the first picture until it is there, then loads several chunks at once", async () => {
  const { source, asked, bring } = line();
  load(["a0", "b0", "c1", "d1", "e1", "f2"].map((name) => wanted(chunk(name, Number(name[1])))), source);
  expect(asked).toEqual(["a0", "b0"]);
  await bring("b0");
  expect(asked).toEqual(["a0", "b0"]);
  await bring("a0");
  expect(asked).toEqual(["a0", "b0", "c1", "d1", "e1", "f2"]);
});

it("begins at once where nothing is of level 0, and takes what is in view first", async () => {
  const { source, asked } = line();
  const names = ["a1", "b1", "c1", "d1", "e1", "f2"];
  load(names.map((name) => wanted(chunk(name, Number(name[1])), () => "de".includes(name[0]))), source);
  expect(asked).toEqual(["d1", "e1", "a1", "b1"]);
});

it("has asked for the first picture before the page is made, and asks again where that failed", async () => {
  const { source, asked, lose, bring } = line();
  const chunks = [chunk("a0", 0), chunk("b1", 1)];
  const early = begun(source, chunks);
  expect(asked).toEqual(["a0"]);
  const loader = load(chunks.map((c) => wanted(c)), early);
  expect(asked).toEqual(["a0"]);
  await lose("a0");
  await new Promise((wake) => setTimeout(wake, 400));
  expect(asked).toEqual(["a0", "a0"]);
  await bring("a0");
  expect(asked).toEqual(["a0", "a0", "b1"]);
  expect(loader.progress.bytes).toBe(10);
});
