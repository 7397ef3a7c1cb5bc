// Chunks by priority, a few at a time: level 0, which makes the first picture, by itself, then low levels first, then
// what the camera sees, then the order of the manifest.

import type { Chunk } from "./manifest";
import type { Job, Reply, Request } from "./worker";

const PARALLEL = 4;
const TRIES = 3;

export interface Wanted {
  chunk: Chunk;
  job: Job;
  seen: () => boolean; // whether the camera looks at it now
  done: (parts: (Uint8Array | Uint32Array)[]) => void;
}

export interface Progress {
  loaded: number; // chunks
  total: number;
  bytes: number;
  totalBytes: number;
}

export type Source = (file: string, most: number) => Promise<Uint8Array>;

export class Loader {
  readonly progress: Progress;
  private readonly waiting: Wanted[];
  private readonly busy = new Map<number, Wanted>();
  private fetching = 0;
  private leading: number; // chunks of level 0 that have not arrived
  private next = 0;

  constructor(
    wanted: Wanted[],
    private readonly source: Source,
    private readonly post: (request: Request, transfer: Transferable[]) => void,
    private readonly failed: (sentence: string) => void,
  ) {
    this.waiting = [...wanted];
    this.leading = wanted.filter(({ chunk }) => chunk.level === 0).length;
    const totalBytes = wanted.reduce((sum, w) => sum + w.chunk.bytes, 0);
    this.progress = { loaded: 0, total: wanted.length, bytes: 0, totalBytes };
  }

  start(): void {
    // What else would come beside the first picture would only take its share of the line.
    const free = (): boolean => this.leading === 0 || this.waiting[0].chunk.level === 0;
    while (this.fetching < PARALLEL && this.waiting.length > 0 && free()) void this.fetch(this.take());
  }

  /** A reply of the worker to one of our chunks. */
  receive(reply: Exclude<Reply, { type: "order" }>): void {
    const wanted = this.busy.get(reply.id);
    if (!wanted) return;
    this.busy.delete(reply.id);
    if (reply.type === "failed") this.failed(reply.sentence);
    else {
      this.progress.loaded += 1;
      wanted.done(reply.parts);
    }
  }

  private take(): Wanted {
    let best = 0;
    const rank = (w: Wanted): number => 2 * w.chunk.level + (w.seen() ? 0 : 1);
    let least = rank(this.waiting[0]);
    for (let i = 1; i < this.waiting.length && this.waiting[i].chunk.level <= this.waiting[best].chunk.level; i++) {
      const r = rank(this.waiting[i]);
      if (r < least) [best, least] = [i, r];
    }
    return this.waiting.splice(best, 1)[0];
  }

  private async fetch(wanted: Wanted): Promise<void> {
    this.fetching += 1;
    const { chunk } = wanted;
    for (let attempt = 1; ; attempt++) {
      try {
        const packed = await this.source(chunk.file, mostBytes(chunk));
        this.progress.bytes += chunk.bytes;
        const id = this.next++;
        this.busy.set(id, wanted);
        const { file, rawBytes, sha256 } = chunk;
        this.post({ type: "chunk", id, file, packed, rawBytes, sha256, job: wanted.job }, [packed.buffer as ArrayBuffer]);
        break;
      } catch (error) {
        if (attempt < TRIES) await new Promise((wake) => setTimeout(wake, 300 * attempt));
        else {
          this.failed(`${chunk.file}: ${(error as Error).message}`);
          break;
        }
      }
    }
    this.fetching -= 1;
    if (chunk.level === 0) this.leading -= 1;
    this.start();
  }
}

/** A server may send a chunk packed or, unpacking it on the way, raw. */
const mostBytes = (chunk: Chunk): number => Math.max(chunk.bytes, chunk.rawBytes);

/** The same source, which has begun with the chunks of the first picture before anyone asks for them. */
export function begun(source: Source, chunks: Chunk[]): Source {
  const leads = chunks.filter((chunk) => chunk.level === 0).slice(0, PARALLEL);
  const early = new Map(leads.map((chunk) => [chunk.file, source(chunk.file, mostBytes(chunk))]));
  for (const arriving of early.values()) arriving.catch(() => undefined); // whoever asks for it is told
  return (file, most) => {
    const arriving = early.get(file) ?? source(file, most);
    early.delete(file);
    return arriving;
  };
}

/** Files beside the page; reading stops at `most` bytes, whatever a server sends. */
export const hosted =
  (base: string): Source =>
  async (file, most) => {
    const response = await fetch(new URL(file, base), { credentials: "same-origin", redirect: "error" });
    if (!response.ok || !response.body) throw new Error(`the server answers ${response.status} ${response.statusText}`);
    const parts: Uint8Array[] = [];
    let length = 0;
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > most) {
        await reader.cancel();
        throw new Error(`the server sends more than the ${most} bytes that the manifest promises`);
      }
      parts.push(value);
    }
    const all = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };

/** Chunks that the page itself holds, in base64; `files` names them as often as they are wanted. */
export function embedded(files: string[]): Source {
  const left = new Map<string, number>();
  for (const file of files) left.set(file, (left.get(file) ?? 0) + 1);
  return async (file) => {
    const element = document.getElementById(file);
    if (!element) throw new Error("the page does not hold it; export it again");
    const binary = atob(element.textContent ?? "");
    left.set(file, left.get(file)! - 1);
    if (left.get(file) === 0) element.remove(); // its memory is wanted
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  };
}
