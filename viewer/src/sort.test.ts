import { expect, it } from "vitest";
import { DepthSort } from "./sort";

it("orders what is in front of the camera exactly, farthest first, and equal depths by falling index", () => {
  const n = 5000;
  let seed = 1;
  const random = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const positions = Float32Array.from({ length: 3 * n }, () => Math.round(200 * (random() - 0.4)) / 10);
  const row = [0, 0, 1, 0.05];
  const order = new Uint32Array(n);
  const spans: [number, number][] = [[0, 1000], [2000, n]];
  const count = new DepthSort(n).sort(positions, spans, row, order);
  const depth = (i: number): number => Math.fround(positions[3 * i + 2] + 0.05);
  const wanted = Array.from({ length: n }, (_, i) => i)
    .filter((i) => (i < 1000 || i >= 2000) && depth(i) > 0)
    .sort((a, b) => depth(b) - depth(a) || b - a);
  expect([...order.subarray(0, count)]).toEqual(wanted);
});
