// Off the main thread: unpacking, checking and packing of chunks, and the sorting of splats.

import type { Block } from "./manifest";
import type { Mat34 } from "./maths";
import { packBase, packHarmonics } from "./pack-splats";
import { DepthSort } from "./sort";
import { unpack } from "./unpack";

/** What to make of a chunk's raw bytes; "raw" leaves them as they are. */
export type Job =
  | { kind: "raw" }
  | { kind: "base"; block: Block; id: number; start: number; node: number; pageFromNode: Mat34 }
  | { kind: "harmonics"; count: number; degree: number };

export type Request =
  | { type: "room"; splats: number }
  | { type: "chunk"; id: number; file: string; packed: Uint8Array; rawBytes: number; sha256: string; job: Job }
  | { type: "sort"; row: number[]; hidden: number[]; order: Uint32Array };

export type Reply =
  | { type: "chunk"; id: number; parts: (Uint8Array | Uint32Array)[] }
  | { type: "failed"; id: number; sentence: string }
  | { type: "order"; order: Uint32Array; count: number; ms: number };

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(reply: Reply, transfer: Transferable[]): void;
};

let positions = new Float32Array(0);
let sorter = new DepthSort(0);
let spans: { start: number; end: number; node: number }[] = [];

function work(raw: Uint8Array, job: Job): (Uint8Array | Uint32Array)[] {
  if (job.kind === "raw") return [raw];
  if (job.kind === "harmonics") return packHarmonics(raw, job.count, job.degree);
  const packed = packBase(raw, job.block, job.id, job.pageFromNode);
  positions.set(packed.positions, 3 * job.start);
  spans.push({ start: job.start, end: job.start + job.block.count, node: job.node });
  spans.sort((a, b) => a.start - b.start);
  return [packed.shapes, packed.colors];
}

async function chunk(request: Extract<Request, { type: "chunk" }>): Promise<void> {
  try {
    const parts = work(await unpack(request.file, request.packed, request.rawBytes, request.sha256), request.job);
    scope.postMessage({ type: "chunk", id: request.id, parts }, parts.map((part) => part.buffer as ArrayBuffer));
  } catch (error) {
    scope.postMessage({ type: "failed", id: request.id, sentence: String((error as Error).message) }, []);
  }
}

scope.onmessage = ({ data }) => {
  if (data.type === "room") {
    positions = new Float32Array(3 * data.splats);
    sorter = new DepthSort(data.splats);
  } else if (data.type === "chunk") void chunk(data);
  else {
    const began = performance.now();
    const shown = spans.filter((span) => !data.hidden.includes(span.node)).map(({ start, end }): [number, number] => [start, end]);
    const count = sorter.sort(positions, shown, data.row, data.order);
    const ms = performance.now() - began;
    scope.postMessage({ type: "order", order: data.order, count, ms }, [data.order.buffer as ArrayBuffer]);
  }
};
