// How many pixels a frame may have: all of them when the picture is still, fewer while it moves on a slow device.

const BUDGET = 33; // milliseconds that a frame may take while things move
const LEAST = 0.2; // of the pixels along a side
const REST = 3; // times as long as a frame took, for what is still loading, before it is drawn with what has come

export class Pace {
  frameMs = 0;
  finished = 0; // frames
  private scale = 1;
  private finishedAt = 0;
  private pending: { sync: WebGLSync; began: number; moving: boolean } | null = null;

  constructor(private readonly gl: WebGL2RenderingContext) {}

  /** Whether the last frame is still being drawn; asking more of the device would only add to the delay. */
  get busy(): boolean {
    if (!this.pending) return false;
    const { gl } = this;
    const { sync, began, moving } = this.pending;
    if (gl.getSyncParameter(sync, gl.SYNC_STATUS) !== gl.SIGNALED && !gl.isContextLost()) return true;
    gl.deleteSync(sync);
    this.pending = null;
    this.finished += 1;
    this.finishedAt = performance.now();
    this.frameMs = this.finishedAt - began;
    if (moving) this.scale = Math.min(1, Math.max(LEAST, this.scale * Math.sqrt(Math.min(1.4, Math.max(0.2, BUDGET / this.frameMs)))));
    return false;
  }

  /** Whether a frame would take from the loading what it needs itself: a device may draw and unpack on the same cores. */
  resting(now: number): boolean {
    return this.finished > 0 && now < this.finishedAt + REST * this.frameMs;
  }

  size(width: number, height: number, moving: boolean): [number, number] {
    const scale = moving ? this.scale : 1;
    return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  }

  drawn(began: number, moving: boolean): void {
    const sync = this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.gl.flush();
    if (sync) this.pending = { sync, began, moving };
  }
}
