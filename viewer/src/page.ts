// The page at work: loads, sorts, draws when something has changed, and answers the visitor.

import { Viewpoint } from "./camera";
import { Controls } from "./controls";
import { openContext, type GL } from "./gl";
import { Loader, type Source } from "./loader";
import type { Camera, Manifest } from "./manifest";
import { invert } from "./maths";
import { Pace } from "./pace";
import { Panel } from "./panel";
import { Sorter } from "./sorter";
import type { View } from "./splats";
import { Stage } from "./stage";
import type { Reply, Request } from "./worker";
import SortWorker from "./worker?worker&inline";

const STILL = 150; // milliseconds without a move after which the full picture is drawn

/** What scripts and tests may ask of the page: `window.scenekit`. */
export interface Handle {
  /** Resolves when everything is loaded; rejects with a sentence where something failed. */
  loaded: Promise<void>;
  statistics(): Record<string, number>;
  /** RGBA, rows from the top, as this camera sees the scene, in its own size. */
  photograph(camera: Omit<Camera, "name">): Promise<Uint8Array>;
  show(bookmark: number): void;
}

export class Page implements Handle {
  readonly loaded: Promise<void>;
  private readonly gl: GL;
  private readonly stage: Stage;
  private readonly viewpoint: Viewpoint;
  private readonly controls: Controls;
  private readonly panel: Panel;
  private readonly loader: Loader;
  private readonly sorter: Sorter;
  private readonly pace: Pace;
  private readonly calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  private dirty = true;
  private scheduled = false;
  private movedAt = -1e9;
  private posing: Promise<unknown> = Promise.resolve();
  private isPosing = false;
  private pictured = false;
  private firstPicture = 0;
  private firstBytes = 0;
  private loadedAt = 0;
  private trouble: string | null = null;
  private finish: { resolve: () => void; reject: (error: Error) => void } | null = null;

  constructor(private readonly canvas: HTMLCanvasElement, private readonly manifest: Manifest, source: Source) {
    document.title = manifest.title;
    const worker = new SortWorker(); // starts while the graphics device is made ready
    this.gl = openContext(canvas);
    this.stage = new Stage(this.gl, manifest);
    this.pace = new Pace(this.gl);
    this.viewpoint = new Viewpoint(manifest);
    const named = manifest.nodes.map(({ name, kind, visible }, index) => ({ name, kind, visible, index }));
    const listed = named.filter(({ index }) => !this.standsIn(index));
    this.panel = new Panel(manifest.title, listed, {
      bookmark: (step) => this.goTo(this.viewpoint.bookmark + step),
      reset: () => this.goTo(manifest.initial),
      mode: () => this.changeMode(),
      photograph: () => void this.save(),
      figures: () => this.figures(),
      toggle: (index) => this.toggle(index),
    });
    this.panel.camera(manifest.bookmarks[manifest.initial].name);
    this.controls = new Controls(canvas, this.viewpoint, () => this.moved(), (key) => this.pressed(key));
    const post = (request: Request, transfer: Transferable[]): void => worker.postMessage(request, transfer);
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.receive(data);
    worker.onerror = (event) => this.fail(`The worker of this page does not run: ${event.message}`);
    this.sorter = new Sorter(this.stage.splats.slots, post, (order, count) => {
      this.stage.splats.order(order, count);
      this.wake();
    });
    const wanted = this.stage.wanted(() => this.view(64, 48), (sort) => this.arrived(sort));
    wanted.sort((a, b) => a.chunk.level - b.chunk.level);
    this.loader = new Loader(wanted, source, post, (sentence) => this.fail(sentence));
    this.loaded = new Promise((resolve, reject) => (this.finish = { resolve, reject }));
    this.loaded.catch(() => undefined); // the alert tells it
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.fail("The graphics card took the picture away, perhaps for want of memory; reload the page.");
    });
    new ResizeObserver(() => this.wake()).observe(canvas);
    this.loader.start();
    this.settle();
    this.wake();
  }

  statistics(): Record<string, number> {
    const { progress } = this.loader;
    return {
      splats: this.stage.splats.shown,
      drawn: this.sorter.count,
      sortMs: this.sorter.ms,
      frameMs: this.pace.frameMs,
      chunks: progress.loaded,
      totalChunks: progress.total,
      bytes: progress.bytes,
      totalBytes: progress.totalBytes,
      firstPictureMs: this.firstPicture,
      firstPictureBytes: this.firstBytes,
      loadedMs: this.loadedAt,
      textureBytes: this.stage.textureBytes,
      workerBytes: 28 * this.stage.splats.slots, // positions, keys and indices, and the order that travels
    };
  }

  async photograph(camera: Omit<Camera, "name">): Promise<Uint8Array> {
    const view = this.viewpoint.seen(camera.pose, camera.intrinsics, camera.size);
    // One after another, and without frames in between: both want the splats sorted for a view of their own.
    const taken = this.posing.then(async () => {
      this.isPosing = true;
      this.sort(view);
      await this.sorter.whenSettled();
      const pixels = this.stage.take(view);
      this.isPosing = false;
      this.wake();
      return pixels;
    });
    this.posing = taken.catch(() => undefined);
    return taken;
  }

  show(bookmark: number): void {
    this.goTo(bookmark);
  }

  private view(width: number, height: number): View {
    return this.viewpoint.view(width, height);
  }

  private arrived(sort: boolean): void {
    if (sort) {
      this.sorter.forget();
      if (!this.isPosing) this.sort(this.view(this.canvas.width, this.canvas.height)); // frames may be slow to come
    }
    this.panel.progress(this.loader.progress.loaded / this.loader.progress.total);
    this.settle();
    this.wake();
  }

  private settle(): void {
    const { loaded, total } = this.loader.progress;
    if (loaded < total || this.loadedAt) return;
    this.loadedAt = performance.now();
    this.panel.progress(1);
    this.finish?.resolve();
  }

  private receive(reply: Reply): void {
    if (reply.type === "order") this.sorter.receive(reply);
    else this.loader.receive(reply);
  }

  private fail(sentence: string): void {
    this.trouble ??= sentence;
    this.panel.trouble(this.trouble);
    this.finish?.reject(new Error(sentence));
  }

  private moved(): void {
    this.movedAt = performance.now();
    this.wake();
  }

  private wake(): void {
    this.dirty = true;
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame((now) => {
      try {
        this.frame(now);
      } catch (error) {
        this.fail((error as Error).message); // and no other frame: it would fail as well
      }
    });
  }

  private frame(now: number): void {
    this.scheduled = false;
    this.controls.step(now);
    const flying = this.viewpoint.fly(now);
    if (flying) this.movedAt = now;
    const moving = this.controls.active || now - this.movedAt < STILL;
    if (this.pace.busy || this.isPosing) return this.wake();
    if (this.firstPicture && !this.loadedAt && !moving && this.pace.resting(now)) return this.wake();
    if (!this.firstPicture && this.pace.finished > 0 && this.pictured) this.firstPicture = now;
    const wasDirty = this.dirty;
    this.dirty = false;
    if (wasDirty) this.draw(moving);
    // The last picture of a movement is drawn again in full; the end of the first one is waited for, to time it.
    if (moving || (this.pictured && !this.firstPicture)) this.wake();
  }

  private draw(moving: boolean): void {
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((n) => Math.max(1, Math.round(n * ratio)));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const [w, h] = this.pace.size(width, height, moving);
    const view = this.view(w, h);
    this.sort(view);
    const began = performance.now();
    this.stage.show(view, width, height);
    this.pace.drawn(began, moving);
    if (!this.pictured && this.stage.drew) {
      this.pictured = true;
      this.firstBytes = this.loader.progress.bytes;
    }
    this.panel.statistics(this.lines(w, h));
  }

  private sort(view: View): void {
    if (this.stage.splats.shown === 0) return;
    this.sorter.ask(invert(view.pose).slice(8), [...this.stage.hidden]);
  }

  private lines(width: number, height: number): string[] {
    const s = this.statistics();
    const mega = (bytes: number): string => (bytes / 1e6).toFixed(1);
    return [
      `${s.splats.toLocaleString()} splats, ${s.drawn.toLocaleString()} in front`,
      `sort ${s.sortMs.toFixed(1)} ms, frame ${s.frameMs.toFixed(1)} ms at ${width}x${height}`,
      `${s.chunks} of ${s.totalChunks} chunks, ${mega(s.bytes)} of ${mega(s.totalBytes)} MB`,
      `${mega(s.textureBytes)} MB of textures, ${mega(s.workerBytes)} MB for sorting`,
      `first picture after ${(s.firstPictureMs / 1000).toFixed(2)} s, all after ${s.loadedMs ? (s.loadedMs / 1000).toFixed(2) : "…"} s`,
    ];
  }

  private goTo(index: number): void {
    this.viewpoint.show(index, performance.now(), this.calm);
    this.panel.camera(this.manifest.bookmarks[this.viewpoint.bookmark].name);
    this.moved();
  }

  private changeMode(): void {
    this.viewpoint.mode = this.viewpoint.mode === "orbit" ? "fly" : "orbit";
    this.panel.mode(this.viewpoint.mode);
  }

  private figures(): void {
    this.panel.toggleFigures();
    this.panel.statistics(this.lines(this.canvas.width, this.canvas.height));
  }

  private standsIn(index: number): boolean {
    const node = this.manifest.nodes[index];
    return node?.kind === "volume" && node.standsIn;
  }

  private toggle(index: number): void {
    const { hidden } = this.stage;
    const act = hidden.has(index) ? (i: number) => hidden.delete(i) : (i: number) => hidden.add(i);
    act(index);
    if (this.standsIn(index - 1)) act(index - 1);
    this.wake();
  }

  private pressed(key: string): void {
    const acts: Record<string, () => void> = {
      f: () => this.changeMode(),
      n: () => this.goTo(this.viewpoint.bookmark + 1),
      p: () => this.goTo(this.viewpoint.bookmark - 1),
      r: () => this.goTo(this.manifest.initial),
      i: () => this.figures(),
      h: () => this.panel.toggleHelp(),
      c: () => void this.save(),
    };
    acts[key]?.();
    if (/^[1-9]$/.test(key) && Number(key) <= this.manifest.bookmarks.length) this.goTo(Number(key) - 1);
  }

  private async save(): Promise<void> {
    const { width, height } = this.canvas;
    const view = this.view(width, height);
    const pixels = await this.photograph(view);
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels), width, height), 0, 0);
    const link = document.createElement("a");
    link.download = "scene.png";
    link.href = canvas.toDataURL("image/png");
    link.click();
  }
}
