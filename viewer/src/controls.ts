// Mouse, touch, wheel and keys move the viewpoint.

import type { Viewpoint } from "./camera";

const SPEED = 0.7; // of walking, in distances to the focus a second
const TURN = 1.2; // of the arrow keys, in radians a second
const HELD = new Set(["w", "a", "s", "d", "q", "e", "arrowleft", "arrowright", "arrowup", "arrowdown", "+", "=", "-"]);

export class Controls {
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private readonly keys = new Set<string>();
  private last = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly viewpoint: Viewpoint,
    private readonly moved: () => void,
    private readonly pressed: (key: string) => void,
  ) {
    canvas.addEventListener("pointerdown", (e) => this.down(e));
    canvas.addEventListener("pointermove", (e) => this.drag(e));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"] as const)
      canvas.addEventListener(name, (e) => this.pointers.delete(e.pointerId));
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    // Keys serve before anything was clicked, too, but not while a button or a field has the focus.
    document.addEventListener("keydown", (e) => {
      if (e.target === canvas || e.target === document.body) this.key(e);
    });
    document.addEventListener("keyup", (e) => this.keys.delete(e.key.toLowerCase()));
    canvas.addEventListener("blur", () => this.keys.clear());
    window.addEventListener("blur", () => this.keys.clear());
  }

  /** Whether something is held down now. */
  get active(): boolean {
    return this.pointers.size > 0 || this.keys.size > 0;
  }

  /** Applies the keys that are held; to be called every frame. */
  step(now: number): void {
    const seconds = Math.min(0.1, (now - this.last) / 1000);
    this.last = now;
    if (this.keys.size === 0) return;
    const held = (...names: string[]): number => (names.some((name) => this.keys.has(name)) ? 1 : 0);
    const { viewpoint } = this;
    const walk = [held("d") - held("a"), held("q") - held("e"), held("w") - held("s")].map((x) => x * SPEED * seconds);
    const look = [held("arrowright") - held("arrowleft"), held("arrowdown") - held("arrowup")].map((x) => x * TURN * seconds);
    if (walk.some((x) => x !== 0)) viewpoint.walk(walk[0], walk[1], walk[2]);
    if (look.some((x) => x !== 0)) viewpoint.orbit(look[0], look[1]);
    const zoom = held("-") - held("+", "=");
    if (zoom !== 0) viewpoint.zoom(Math.exp(zoom * seconds));
    this.moved();
  }

  private down(e: PointerEvent): void {
    this.canvas.focus();
    this.canvas.setPointerCapture(e.pointerId);
    this.pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
  }

  private drag(e: PointerEvent): void {
    const before = this.pointers.get(e.pointerId);
    if (!before) return;
    const size = Math.min(this.canvas.clientWidth, this.canvas.clientHeight);
    const [dx, dy] = [(e.clientX - before.x) / size, (e.clientY - before.y) / size];
    const { viewpoint } = this;
    if (this.pointers.size === 1) {
      if (e.shiftKey || (e.buttons & 6) !== 0) viewpoint.pan(dx, dy);
      else viewpoint.orbit(3 * dx, 3 * dy);
    } else {
      // Two fingers: their middle pans, their distance zooms.
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)![1];
      const apart = (p: { x: number; y: number }): number => Math.hypot(p.x - other.x, p.y - other.y);
      viewpoint.zoom(Math.max(1, apart(before)) / Math.max(1, apart({ x: e.clientX, y: e.clientY })));
      viewpoint.pan(dx / 2, dy / 2);
    }
    before.x = e.clientX;
    before.y = e.clientY;
    this.moved();
  }

  private wheel(e: WheelEvent): void {
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 16 : 1;
    this.viewpoint.zoom(Math.exp(Math.max(-0.5, Math.min(0.5, e.deltaY * lines * 0.0015))));
    this.moved();
  }

  private key(e: KeyboardEvent): void {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const key = e.key.toLowerCase();
    if (HELD.has(key)) {
      e.preventDefault();
      this.keys.add(key);
      this.moved();
    } else this.pressed(key);
  }
}
